"""What deploy/ holds, as the tests read it."""

import re
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose"
CHART = DEPLOY / "helm" / "groupbuy"
MONITORING = DEPLOY / "monitoring"


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses a key that comes twice, which YAML's own loader takes without a word."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key comes twice in line {node.start_mark.line + 1} and below: {keys}"
        return node


def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.load((COMPOSE / "compose.yaml").read_text(), _Loader)  # noqa: S506 - a SafeLoader
    return content


def documents(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document]


def seconds(duration: str) -> int:
    """Returns the seconds of a duration such as 15s."""
    found = re.fullmatch(r"([0-9]+)s", duration)
    assert found
    return int(found[1])
