"""Campaign statistics, counted from the rows and cached for a few seconds."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from api.runtime.shared_reads import SharedReads
from db.campaigns.market import count_statistics
from db.core.connection import Database
from domain.schemas.market import Statistics

MIN_TTL = 3.0
"""seconds for which a count is served"""
TTL_PER_ROW = 10e-6
"""seconds per row read, where that is longer: counting then takes no more than a twentieth of the time"""
STALE_ROWS = 200_000
"""rows from which a request is served the previous count while a new one is under way"""
SMALL_ROWS = 10_000
"""rows up to which a campaign is counted together with others: nobody waits for a larger one but those who asked for it"""
MAX_CAMPAIGNS = 10_000


@dataclass(frozen=True, slots=True)
class CachedCount:
    statistics: Statistics
    counted_at: float

    @property
    def rows(self) -> int:
        return self.statistics.team_count + self.statistics.user_count

    def is_fresh(self, now: float) -> bool:
        return now - self.counted_at < max(MIN_TTL, self.rows * TTL_PER_ROW)


Campaign = tuple[str, int]


class StatisticsCache:
    """Counts per campaign and mall. Concurrent requests for one campaign share one count, and small campaigns one statement."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[Campaign, CachedCount] = {}
        self._running: dict[Campaign, asyncio.Task[Statistics]] = {}
        self._small = SharedReads(self._read)

    async def get(self, source: str, campaign_id: int) -> Statistics:
        """Returns the cached count while it is fresh, else counts again."""
        campaign = (source, campaign_id)
        cached = self._counts.get(campaign)
        if cached is not None and cached.is_fresh(time.monotonic()):
            return cached.statistics
        running = self._running.get(campaign)
        if running is None:
            running = self._running[campaign] = asyncio.create_task(self._count(campaign))
            running.add_done_callback(lambda task: self._finish(campaign, task))
        if cached is not None and cached.rows > STALE_ROWS:
            return cached.statistics
        return await asyncio.shield(running)

    async def _count(self, campaign: Campaign) -> Statistics:
        counted_at = time.monotonic()
        cached = self._counts.get(campaign)
        if cached is not None and cached.rows <= SMALL_ROWS:
            statistics = await self._small.get(campaign)
        else:  # large, or never counted and perhaps large
            (statistics,) = await self._read([campaign])
        if len(self._counts) >= MAX_CAMPAIGNS:
            self._counts.clear()
        self._counts[campaign] = CachedCount(statistics, counted_at)
        return statistics

    async def _read(self, campaigns: Sequence[Campaign]) -> list[Statistics]:
        return await count_statistics(self._database, campaigns)

    def _finish(self, campaign: Campaign, task: asyncio.Task[Statistics]) -> None:
        del self._running[campaign]
        if not task.cancelled():
            # Retrieved here, because asyncio logs an exception that no request waits for.
            task.exception()
