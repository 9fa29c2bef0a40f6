"""Prints what an installation consists of, in the format CycloneDX: what groupbuy needs here, and no tool of development."""

import json
import sys
import uuid
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT, EXTRAS = "groupbuy", frozenset({"otel"})


def needed(found: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    """What a distribution needs on this machine."""
    for text in found.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras or {""}):
            yield requirement


def installed() -> dict[str, tuple[Distribution, list[str]]]:
    """Returns each distribution by its name, with the names of those that it needs. One that is not installed is left out."""
    seen: dict[str, tuple[Distribution, list[str]]] = {}
    waiting = [(ROOT, frozenset({"", *EXTRAS}))]
    while waiting:
        name, extras = waiting.pop()
        if name in seen:
            continue
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        needs = {canonicalize_name(each.name): frozenset({"", *each.extras}) for each in needed(found, extras)}
        seen[name] = found, sorted(needs)
        waiting += needs.items()
    return seen


def component(name: str, found: Distribution) -> dict[str, object]:
    reference = f"pkg:pypi/{name}@{found.version}"
    described: dict[str, object] = {
        "bom-ref": reference,
        "type": "library",
        "name": name,
        "version": found.version,
        "purl": reference,
    }
    if expression := found.metadata.get("License-Expression"):
        described["licenses"] = [{"expression": expression}]
    elif licence := (found.metadata.get("License") or "").strip().splitlines():
        described["licenses"] = [{"license": {"name": licence[0][:200]}}]
    return described


def bom() -> dict[str, object]:
    parts = installed()
    described = {name: component(name, found) for name, (found, _) in sorted(parts.items())}
    references = {name: str(each["bom-ref"]) for name, each in described.items()}
    content = json.dumps([sys.version_info[:3], list(references.values())])
    root = described.pop(ROOT)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # The same content has the same number.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {
            "component": {**root, "type": "application"},
            "properties": [{"name": "python", "value": ".".join(map(str, sys.version_info[:3]))}],
        },
        "components": list(described.values()),
        "dependencies": [
            {"ref": references[name], "dependsOn": [references[need] for need in needs if need in references]}
            for name, (_, needs) in sorted(parts.items())
        ],
    }


if __name__ == "__main__":
    print(json.dumps(bom(), indent=1))  # noqa: T201
