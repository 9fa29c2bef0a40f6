"""Turns: a mall that hangs uses up its own, and nobody else's."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AT_ONCE = 20
"""attempts to one mall that a process makes at once"""
WAITING = 200
"""more that may wait for one of these to end"""
PATIENCE = 0.3
"""seconds for which they wait; a mall that answers gives turns back much sooner"""


class PerMallLimit:
    def __init__(self, at_once: int = AT_ONCE, patience: float = PATIENCE) -> None:
        self._at_once = at_once
        self._patience = patience
        self._of_mall: dict[str, asyncio.Semaphore] = {}
        self._waiting: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, source: str) -> AsyncIterator[bool]:
        """Whether this mall has a turn left, which then ends with this block."""
        turns = self._of_mall.setdefault(source, asyncio.Semaphore(self._at_once))
        if not await self._take(source, turns):
            yield False
            return
        try:
            yield True
        finally:
            turns.release()

    async def _take(self, source: str, turns: asyncio.Semaphore) -> bool:
        if turns.locked() and self._waiting[source] >= WAITING:
            return False
        self._waiting[source] += 1
        try:
            async with asyncio.timeout(self._patience):
                return await turns.acquire()
        except TimeoutError:
            return False
        finally:
            self._waiting[source] -= 1
