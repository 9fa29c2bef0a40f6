"""Settings cached in this process for as long as it receives the database's notices of changes."""

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Any, TypeVar

from prometheus_client import Counter

from db.core.listen import CHANGED, Listener

Value = TypeVar("Value")

READS = Counter("groupbuy_cache_reads", "Reads of cached settings", ["result"])
HITS, MISSES = READS.labels("hit"), READS.labels("miss")

MAX_ENTRIES = 10_000
TTL = 10.0
"""seconds: bounds the staleness where notices get lost, for example in a connection pooler or with a disabled trigger"""


class Cache:
    """Values by key. Each depends on subjects: `campaign/100123`, or `campaign` for any of them."""

    def __init__(self, database_url: str, listeners: dict[str, Callable[[str], None]] | None = None) -> None:
        """`listeners` receive the notices of other channels, over the same connection."""
        self.notices = Listener(database_url, {CHANGED: self.invalidate, **(listeners or {})}, self.invalidate_all)
        self._entries: dict[Hashable, tuple[float, Any]] = {}
        self._dependents: defaultdict[str, set[Hashable]] = defaultdict(set)
        self.invalidations = 0
        """how many changes were noticed: what was read before the last one may be stale"""

    async def get(
        self, key: Hashable, read: Callable[[], Awaitable[Value]], subjects: Callable[[Value], Iterable[str]]
    ) -> Value:
        """Returns the cached value, else what `read` returns, which is cached unless it is None."""
        if self.notices.is_listening and (entry := self._entries.get(key)) is not None and entry[0] > time.monotonic():
            HITS.inc()
            value: Value = entry[1]
            return value
        MISSES.inc()
        invalidations = self.invalidations
        value = await read()
        # A change that was notified during the read may have come after it: the value could be stale.
        if value is not None and invalidations == self.invalidations:
            self._put(key, value, subjects(value))
        return value

    def invalidate(self, subject: str) -> None:
        """Drops what depends on the subject, or on any of its kind."""
        self.invalidations += 1
        for name in (subject, subject.partition("/")[0]):
            for key in self._dependents.pop(name, ()):
                self._entries.pop(key, None)

    def invalidate_all(self) -> None:
        self.invalidations += 1
        self._entries.clear()
        self._dependents.clear()

    def _put(self, key: Hashable, value: object, subjects: Iterable[str]) -> None:
        if len(self._entries) >= MAX_ENTRIES:
            self.invalidate_all()
        self._entries[key] = (time.monotonic() + TTL, value)
        for subject in subjects:
            self._dependents[subject].add(key)
