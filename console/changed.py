"""What has changed since a form was shown, in words."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from db.settings.audit import ChangedSinceError

OF_THE_CHANGE = {"version", "updated_at", "changed_at", "changed_by"}
"""what every change changes"""


class Difference(NamedTuple):
    field: str
    before: str
    after: str


class Changed(NamedTuple):
    """Another change, because of which nothing was done."""

    changed_by: str
    changed_at: datetime
    differences: list[Difference]


def differences(old: Mapping[str, Any], new: Mapping[str, Any], names: Iterable[str]) -> list[Difference]:
    """Returns which of these fields differ; the values are those of their JSON."""
    return [Difference(name, _text(old.get(name)), _text(new.get(name))) for name in names if old.get(name) != new.get(name)]


def changed_since(error: ChangedSinceError) -> Changed:
    latest = error.latest
    names = [name for name in latest.content if name not in OF_THE_CHANGE]
    return Changed(latest.changed_by, latest.changed_at, differences(error.before or {}, latest.content, names))


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON
    match value:
        case None | []:
            return "–"
        case dict():
            return " ".join(_text(each) for each in value.values() if each is not None)
        case list():
            return ", ".join(map(_text, value))
        case _:
            return str(value)
