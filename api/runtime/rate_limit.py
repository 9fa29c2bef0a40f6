"""A mall's requests in a second. Each process counts its own, and tells the others once a second: it is as exact as that."""

import asyncio
import json
import logging
import secrets
import time
from dataclasses import dataclass

from db.core.connection import INFRASTRUCTURE_FAILURES, Database
from db.core.listen import tell_counts
from domain.limits import rate_share

log = logging.getLogger("groupbuy.api")

Headers = tuple[tuple[bytes, bytes], tuple[bytes, bytes]]

SECONDS = 1
"""the length of the window"""
WORTH_TELLING = 20
"""who was asked for less than this part of a limit need not tell"""
BELIEVED_FOR = 2.5


@dataclass(slots=True)
class Window:
    """One mall's requests here in one second."""

    second: int
    limit: int
    allowed: int
    asked: int = 0


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
        self._asked: dict[str, Window] = {}
        self._others: dict[str, tuple[float, dict[str, int]]] = {}

    def take(self, source: str, limit: int) -> RateDecision:
        """Counts a request of this mall."""
        second = int(time.time())
        window = self._windows.get(source)
        if window is None or window.second != second or window.limit != limit:
            window = self._windows[source] = self._begin(source, limit, second)
        window.asked += 1
        left = max(window.allowed - window.asked, 0)
        headers = ((b"ratelimit-policy", b'"mall";q=%d;w=1' % limit), (b"ratelimit", b'"mall";r=%d;t=1' % left))
        return RateDecision(window.asked <= window.allowed, headers)

    def hear(self, notice: str) -> None:
        """What a process was asked for in its last second."""
        process, asked = json.loads(notice)
        if process != self._process:
            self._others[process] = (time.monotonic() + BELIEVED_FOR, asked)

    async def run(self) -> None:
        """Tells the other processes, until it is cancelled."""
        while True:
            await asyncio.sleep(SECONDS)
            asked = self._worth_telling()
            try:
                if asked:
                    await tell_counts(self._database, self._process, asked)
            except INFRASTRUCTURE_FAILURES as failure:
                log.warning("requests were not told: %s", failure)

    def _begin(self, source: str, limit: int, second: int) -> Window:
        before = self._windows.get(source)
        mine = 0
        if before is not None and second - SECONDS <= before.second:
            self._asked[source] = before
            mine = before.asked
        clock = time.monotonic()
        self._others = {process: told for process, told in self._others.items() if told[0] > clock}
        others = sum(asked.get(source, 0) for _, asked in self._others.values())
        return Window(second, limit, rate_share(limit, mine, others))

    def _worth_telling(self) -> dict[str, int]:
        """Of the last whole second."""
        last = int(time.time()) - SECONDS
        told: dict[str, int] = {}
        for source in self._windows:
            for window in (self._asked.get(source), self._windows[source]):
                if window is not None and window.second == last and window.asked * WORTH_TELLING >= window.limit:
                    told[source] = window.asked
        return told
