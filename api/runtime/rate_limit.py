"""Limits the requests per second of malls and keys, to the accuracy of the counts that processes share once a second."""

import asyncio
import json
import logging
import secrets
import time
from dataclasses import dataclass

from db.core.connection import INFRASTRUCTURE_FAILURES, Database
from db.core.listen import notify_request_counts
from domain.limits import Allowance, rate_share

log = logging.getLogger("groupbuy.api")

Headers = tuple[tuple[bytes, bytes], tuple[bytes, bytes]]

INTERVAL = 1
"""seconds between two exchanges of counts"""
MIN_SHARE = 20
"""counts below one part in so many of the limit are not shared"""
COUNTS_TTL = 2.5
"""seconds for which another process' counts are used"""


@dataclass(slots=True)
class Usage:
    """The requests of one subject to this process."""

    limit: int
    share: int
    """what this process admits of the limit, in requests per second"""
    allowance: Allowance
    requests: int = 0
    """since the last exchange, refused ones too"""
    rate: int = 0
    """requests per second before the last exchange"""


@dataclass(frozen=True, slots=True)
class RateDecision:
    allowed: bool
    headers: Headers
    """RateLimit-Policy and RateLimit"""


class RateLimiter:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._process = secrets.token_hex(8)
        self._usages: dict[str, Usage] = {}
        self._exchanged_at = time.monotonic()
        self._others: dict[str, tuple[float, dict[str, int]]] = {}
        """by process: until when its counts are used, and the counts"""

    def take(self, subject: str, limit: int, policy: bytes = b"mall") -> RateDecision:
        """Counts a request of this subject, and decides whether it is within the limit.

        Args:
            subject: whose requests are counted: a mall's source, or a name that is none.
            policy: names the limit in the headers.
        """
        now = time.monotonic()
        usage = self._usages.get(subject)
        if usage is None or usage.limit != limit:
            share = rate_share(limit, 0, self._rate_of_others(subject))
            usage = self._usages[subject] = Usage(limit, share, Allowance(share, now))
        usage.requests += 1
        usage.allowance = usage.allowance.refilled(now, usage.share)
        after = usage.allowance.take()
        if after is not None:
            usage.allowance = after
        headers = (
            (b"ratelimit-policy", b'"%s";q=%d;w=1' % (policy, limit)),
            (b"ratelimit", b'"%s";r=%d;t=1' % (policy, usage.allowance.left)),
        )
        return RateDecision(after is not None, headers)

    def receive_counts(self, notice: str) -> None:
        """Takes over another process' counts."""
        process, counts = json.loads(notice)
        if process != self._process:
            self._others[process] = (time.monotonic() + COUNTS_TTL, counts)
            self._set_shares()

    async def run(self) -> None:
        """Shares this process' counts until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            counts = self.close_interval()
            try:
                if counts:
                    await notify_request_counts(self._database, self._process, counts)
            except INFRASTRUCTURE_FAILURES as error:
                log.warning("request counts were not shared: %s", error)

    def close_interval(self) -> dict[str, int]:
        """Returns the requests per second since the last call, by subject, where there are enough of them to matter."""
        now = time.monotonic()
        seconds, self._exchanged_at = now - self._exchanged_at, now
        self._others = {process: entry for process, entry in self._others.items() if entry[0] > now}
        # Who has been silent for a second has all of its allowance: nothing is to be remembered.
        self._usages = {subject: usage for subject, usage in self._usages.items() if usage.requests or usage.rate}
        for usage in self._usages.values():
            usage.rate, usage.requests = round(usage.requests / seconds), 0
        self._set_shares()
        return {subject: usage.rate for subject, usage in self._usages.items() if usage.rate * MIN_SHARE >= usage.limit}

    def _set_shares(self) -> None:
        for subject, usage in self._usages.items():
            usage.share = rate_share(usage.limit, usage.rate, self._rate_of_others(subject))

    def _rate_of_others(self, subject: str) -> int:
        return sum(counts.get(subject, 0) for _, counts in self._others.values())
