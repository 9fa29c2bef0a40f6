"""Limits how many tasks of this process work on the same key at once."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

Key = TypeVar("Key", bound=Hashable)


class KeyedLimit(Generic[Key]):
    """A semaphore per key; a key that nobody uses takes no memory."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._semaphores: WeakValueDictionary[Key, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def slot(self, key: Key) -> AsyncIterator[bool]:
        """Holds one of the key's slots; yields whether it had to wait, since what was read before may then be stale."""
        semaphore = self._semaphores.get(key)
        if semaphore is None:
            semaphore = self._semaphores[key] = asyncio.Semaphore(self._slots)
        # A semaphore, because asyncio.Lock reports itself as free while it is being handed to a waiter.
        waited = semaphore.locked()
        async with semaphore:
            yield waited
