"""Switches: what operators change at run time (design.md section 8)."""

import json
from functools import lru_cache
from typing import Annotated

from pydantic import Field

from domain.types import Identifier, Message, Source


class MallChannel(Message):
    """A channel of a mall."""

    source: Source
    channel: Identifier


class Switches(Message):
    """Every switch with its type, and the value it has until an operator sets another."""

    suspended: Annotated[bool, Field(strict=True)] = False
    """no new seats anywhere: `group_buying_suspended` (the original's downgradeSwitch)"""
    rollout: Annotated[int, Field(strict=True, ge=0, le=100)] = 100
    """percent of the users who may take part, by a stable hash of the user id; 0: nobody, 100: everybody (cutRange)"""
    blocked: Annotated[tuple[MallChannel, ...], Field(max_length=1000)] = ()
    """channels of malls that may not trade now: `mall_blocked` (scBlacklist)"""


@lru_cache(maxsize=16)
def switches_of(stored: str | None) -> Switches:
    """From the stored values as one JSON object; what this version does not know is not asked for."""
    values = json.loads(stored) if stored else {}
    return Switches.model_validate_json(json.dumps({name: values[name] for name in Switches.model_fields if name in values}))
