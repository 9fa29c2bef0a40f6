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


def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    return content


def documents(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document]


def seconds(duration: str) -> int:
    """Returns the seconds of a duration such as 15s."""
    found = re.fullmatch(r"([0-9]+)s", duration)
    assert found
    return int(found[1])
