"""Switches as the legacy format names them."""

import re

from domain.switches import MallChannel, Switches

# --- dynamic configuration ---

EVERYBODY = 100
NO_EFFECT = {"cacheSwitch", "rateLimiterSwitch"}
"""what the original needed, and ours does not"""


def switch_of(key: str, value: str, sources: set[str]) -> tuple[str, Switches] | None:
    """The switch of ours that a key of the original's stands for, with its value; None for one that has no effect here.

    Args:
        key, value: as the original takes them.
        sources: the malls that there are: a place is written there as source and channel in one word.

    Raises:
        ValueError: the key or its value is none of the original's.
    """
    match key:
        case "downgradeSwitch" if value in {"0", "1"}:
            return "suspended", Switches(suspended=value == "1")
        case "cutRange" if re.fullmatch("[0-9]{1,3}", value) and int(value) <= EVERYBODY:
            return "rollout", Switches(rollout=int(value))
        case "scBlacklist":
            entries = [entry.strip() for entry in value.split(",") if entry.strip()]
            places = tuple(dict.fromkeys(place for entry in entries for place in _places(entry, sources)))
            return "blocked", Switches(blocked=places)
        case _ if key in NO_EFFECT:
            return None
    raise ValueError(f"{key[:40]!r} cannot be {value[:40]!r}")


def _places(entry: str, sources: set[str]) -> list[MallChannel]:
    """Every place that the word can mean; of a mall that is not known, as the original's ids are made: s02c02."""
    known = [
        MallChannel(source=source, channel=entry.removeprefix(source))
        for source in sorted(sources)
        if entry.startswith(source) and entry != source
    ]
    if known:
        return known
    unknown = re.fullmatch(r"(.+?)(c[0-9]+)", entry)
    if unknown is None:
        raise ValueError(f"{entry[:40]!r} is no source with a channel")
    return [MallChannel(source=unknown[1], channel=unknown[2])]
