"""The per-mall concurrency limit: a mall that hangs uses up its own slots, and no other mall's."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CONCURRENT_ATTEMPTS = 20
"""attempts to one mall that a process makes side by side"""
MAX_WAITING = 200
"""attempts to one mall that may wait for a slot"""
SLOT_TIMEOUT = 0.3
"""seconds for which they wait; a mall that answers releases its slots much sooner"""


class PerMallLimit:
    def __init__(self, concurrency: int = CONCURRENT_ATTEMPTS, timeout_seconds: float = SLOT_TIMEOUT) -> None:
        self._concurrency = concurrency
        self._timeout = timeout_seconds
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._waiting: Counter[str] = Counter()

    @asynccontextmanager
    async def slot(self, source: str) -> AsyncIterator[bool]:
        """Yields whether a slot of this mall was free in time; the slot is held until the block ends."""
        slots = self._slots.setdefault(source, asyncio.Semaphore(self._concurrency))
        if not await self._acquire(source, slots):
            yield False
            return
        try:
            yield True
        finally:
            slots.release()

    async def _acquire(self, source: str, slots: asyncio.Semaphore) -> bool:
        if slots.locked() and self._waiting[source] >= MAX_WAITING:
            return False
        self._waiting[source] += 1
        try:
            async with asyncio.timeout(self._timeout):
                return await slots.acquire()
        except TimeoutError:
            return False
        finally:
            self._waiting[source] -= 1
