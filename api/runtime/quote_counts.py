"""Counts quotes in memory, and adds them to the rows from time to time: nobody who asks for a price waits for it."""

import asyncio
import logging
from collections import Counter
from datetime import UTC, datetime

from db.core.connection import INFRASTRUCTURE_FAILURES, Database
from db.statistics import QuoteKey, add_quotes

log = logging.getLogger("groupbuy.api")

WRITE_EVERY = 15.0
"""seconds; what a process that is killed has counted since is lost"""


class QuoteCounts:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: Counter[QuoteKey] = Counter()

    def count(self, source: str, campaign_id: int, now: datetime) -> None:
        self._counts[QuoteKey(now.astimezone(UTC).date(), source, campaign_id)] += 1

    async def run(self) -> None:
        while True:
            await asyncio.sleep(WRITE_EVERY)
            await self.write()

    async def write(self) -> None:
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            await add_quotes(self._database, counts)
        except INFRASTRUCTURE_FAILURES as error:
            self._counts += counts
            log.warning("quotes were not counted: %s: %s", type(error).__name__, error)
