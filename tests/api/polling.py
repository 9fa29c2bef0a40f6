"""Waiting for what another process does."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

Seen = TypeVar("Seen")


async def until(look: Callable[[], Awaitable[Seen]], so: Callable[[Seen], object], within: float = 20) -> Seen:
    """Looks again and again until it is so; returns what was seen then."""
    deadline = time.monotonic() + within
    while not so(seen := await look()):
        assert time.monotonic() < deadline, f"waited {within:g} s in vain; last seen: {seen}"
        await asyncio.sleep(0.05)
    return seen


async def until_moment(moment: datetime) -> None:
    """For what the platform does, or no longer does, from then on."""

    async def now() -> datetime:
        return datetime.now(UTC)

    await until(now, lambda seen: seen > moment)
