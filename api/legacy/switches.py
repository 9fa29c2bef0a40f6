"""Switches as the legacy format names them."""

import re

from domain.switches import MallChannel, Switches

ALL_USERS = 100
"""percent"""
NO_EFFECT = {"cacheSwitch", "rateLimiterSwitch"}


def switch_of(key: str, value: str, sources: set[str]) -> tuple[str, Switches] | None:
    """Returns the switch that a legacy key stands for, with its value; None for a key that has no effect here.

    Args:
        key, value: in the legacy format, where a blocked channel is written as source and channel in one word.
        sources: the known malls, which divide such a word.

    Raises:
        ValueError: the key is unknown, or its value is malformed.
    """
    match key:
        case "downgradeSwitch" if value in {"0", "1"}:
            return "suspended", Switches(suspended=value == "1")
        case "cutRange" if re.fullmatch("[0-9]{1,3}", value) and int(value) <= ALL_USERS:
            return "rollout", Switches(rollout=int(value))
        case "scBlacklist":
            entries = [entry.strip() for entry in value.split(",") if entry.strip()]
            channels = dict.fromkeys(channel for entry in entries for channel in _channels(entry, sources))
            return "blocked", Switches(blocked=tuple(channels))
        case _ if key in NO_EFFECT:
            return None
    raise ValueError(f"{key[:40]!r} cannot be {value[:40]!r}")


def _channels(entry: str, sources: set[str]) -> list[MallChannel]:
    """Returns every channel that the word can mean; for an unknown mall it is divided before the last `c` and digits."""
    known = [
        MallChannel(source=source, channel=entry.removeprefix(source))
        for source in sorted(sources)
        if entry.startswith(source) and entry != source
    ]
    if known:
        return known
    unknown = re.fullmatch(r"(.+?)(c[0-9]+)", entry)
    if unknown is None:
        raise ValueError(f"{entry[:40]!r} is not a source with a channel")
    return [MallChannel(source=unknown[1], channel=unknown[2])]
