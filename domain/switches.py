"""Switches: settings that operators change at run time."""

import json
from functools import lru_cache
from typing import Annotated

from pydantic import Field

from domain.types import Identifier, Schema, Source


class MallChannel(Schema):
    """One channel of one mall."""

    source: Source
    channel: Identifier


class Switches(Schema):
    """Every switch with its type and its default."""

    suspended: Annotated[bool, Field(strict=True)] = False
    """no new seats anywhere: `group_buying_suspended` (legacy: downgradeSwitch)"""
    rollout: Annotated[int, Field(strict=True, ge=0, le=100)] = 100
    """percentage of the users who may take part, by a stable hash of the user id (legacy: cutRange)"""
    blocked: Annotated[tuple[MallChannel, ...], Field(max_length=1000)] = ()
    """channels of malls that may not trade: `mall_blocked` (legacy: scBlacklist)"""

    def blocks(self, source: str, channel: str) -> bool:
        return bool(self.blocked) and MallChannel(source=source, channel=channel) in self.blocked


@lru_cache(maxsize=16)
def parse_switches(stored: str | None) -> Switches:
    """Returns the switches from one JSON object of stored values; names that are no switch are ignored."""
    values = json.loads(stored) if stored else {}
    return Switches.model_validate_json(json.dumps({name: values[name] for name in Switches.model_fields if name in values}))
