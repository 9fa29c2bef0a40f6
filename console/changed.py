"""What has changed since a form was shown, in words."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from console.languages import in_words
from db.settings.audit import ChangedSinceError

OF_THE_CHANGE = {"version", "updated_at", "changed_at", "changed_by"}
"""what every change changes"""
CODED = {"status", "audience_scope"}
"""fields whose values are codes"""
YES, NO = "yes", "no"


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
        case bool():
            return YES if value else NO
        case dict():
            return " ".join(_text(each) for each in value.values() if each is not None)
        case list():
            return ", ".join(map(_text, value))
        case _:
            return str(value)


def value_in_words(text: str, field: str, translate: Callable[[str], str]) -> str:
    """Returns a value of a difference with its codes in the person's language; what people have called something stays."""
    if field in CODED:
        return ", ".join(translate(in_words(each)) for each in text.split(", "))
    if field == "discount":
        plan, _, terms = text.partition(" ")
        return f"{translate(in_words(plan))} {terms}"
    return translate(text) if text in {YES, NO} else text
