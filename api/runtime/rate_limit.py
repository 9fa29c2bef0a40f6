"""Limits a mall's requests per second, to the accuracy of the counts that processes share once a second."""

import asyncio
import json
import logging
import secrets
import time
from dataclasses import dataclass

from db.core.connection import INFRASTRUCTURE_FAILURES, Database
from db.core.listen import notify_request_counts
from domain.limits import rate_share

log = logging.getLogger("groupbuy.api")

Headers = tuple[tuple[bytes, bytes], tuple[bytes, bytes]]

WINDOW = 1
"""seconds"""
MIN_SHARE = 20
"""counts below one part in so many of the limit are not shared"""
COUNTS_TTL = 2.5
"""seconds for which another process' counts are used"""


@dataclass(slots=True)
class Window:
    """The requests of one mall to this process in one second."""

    second: int
    limit: int
    allowed: int
    requests: int = 0


@dataclass(frozen=True, slots=True)
class RateDecision:
    allowed: bool
    headers: Headers
    """RateLimit-Policy and RateLimit"""


class RateLimiter:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._process = secrets.token_hex(8)
        self._windows: dict[str, Window] = {}
        self._previous: dict[str, Window] = {}
        self._others: dict[str, tuple[float, dict[str, int]]] = {}
        """by process: until when its counts are used, and the counts"""

    def take(self, source: str, limit: int) -> RateDecision:
        """Counts a request of this mall, and decides whether it is within the limit."""
        second = int(time.time())
        window = self._windows.get(source)
        if window is None or window.second != second or window.limit != limit:
            window = self._windows[source] = self._open_window(source, limit, second)
        window.requests += 1
        left = max(window.allowed - window.requests, 0)
        headers = ((b"ratelimit-policy", b'"mall";q=%d;w=1' % limit), (b"ratelimit", b'"mall";r=%d;t=1' % left))
        return RateDecision(window.requests <= window.allowed, headers)

    def receive_counts(self, notice: str) -> None:
        """Takes over another process' counts of its last second."""
        process, counts = json.loads(notice)
        if process != self._process:
            self._others[process] = (time.monotonic() + COUNTS_TTL, counts)

    async def run(self) -> None:
        """Shares this process' counts until cancelled."""
        while True:
            await asyncio.sleep(WINDOW)
            counts = self._counts()
            try:
                if counts:
                    await notify_request_counts(self._database, self._process, counts)
            except INFRASTRUCTURE_FAILURES as error:
                log.warning("request counts were not shared: %s", error)

    def _open_window(self, source: str, limit: int, second: int) -> Window:
        previous = self._windows.get(source)
        mine = 0
        if previous is not None and second - WINDOW <= previous.second:
            self._previous[source] = previous
            mine = previous.requests
        now = time.monotonic()
        self._others = {process: entry for process, entry in self._others.items() if entry[0] > now}
        others = sum(counts.get(source, 0) for _, counts in self._others.values())
        return Window(second, limit, rate_share(limit, mine, others))

    def _counts(self) -> dict[str, int]:
        """The requests of the last full second, by mall, where there are enough of them to matter."""
        last = int(time.time()) - WINDOW
        counts: dict[str, int] = {}
        for source in self._windows:
            for window in (self._previous.get(source), self._windows[source]):
                if window is not None and window.second == last and window.requests * MIN_SHARE >= window.limit:
                    counts[source] = window.requests
        return counts
