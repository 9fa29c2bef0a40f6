"""Statistics of campaigns, counted now and then."""

import asyncio
import time
from dataclasses import dataclass

from db.campaigns.market import count_statistics
from db.core.connection import Database
from domain.schemas.market import Statistics

GOOD_FOR = 3.0
"""seconds for which a count is good where nothing is heard of a change"""
PER_ROW = 10e-6
"""seconds for which it is good at least, for each row that was read: counting takes no more than a twentieth of the time"""
WORTH_WAITING = 200_000
"""rows; a longer count is waited for by nobody who can be shown the one before"""
CAMPAIGNS_KNOWN = 10_000


@dataclass(slots=True)
class CachedCount:
    statistics: Statistics
    began: float
    is_touched: bool = False
    """this process has changed a team of the campaign since"""

    @property
    def rows(self) -> int:
        return self.statistics.team_count + self.statistics.user_count

    def is_good(self, now: float) -> bool:
        worth = self.rows * PER_ROW
        return now - self.began < (worth if self.is_touched else max(GOOD_FOR, worth))


Campaign = tuple[str, int]


class StatisticsCache:
    """Counts are kept in the process: a lock keeps no counter, and a query need not read every team."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[Campaign, CachedCount] = {}
        self._running: dict[Campaign, asyncio.Task[Statistics]] = {}
        self._touched: set[Campaign] = set()
        """changed while they are being counted"""

    async def statistics(self, source: str, campaign_id: int) -> Statistics:
        """As they were counted last; what this process itself has changed is in them, unless there is much to count."""
        campaign = (source, campaign_id)
        known = self._counts.get(campaign)
        if known is not None and known.is_good(time.monotonic()):
            return known.statistics
        running = self._running.get(campaign)
        if running is None:
            running = self._running[campaign] = asyncio.create_task(self._count(campaign))
            running.add_done_callback(lambda task: self._ended(campaign, task))
        if known is not None and known.rows > WORTH_WAITING:
            return known.statistics
        return await asyncio.shield(running)

    def touch(self, source: str, campaign_id: int) -> None:
        """A team of this campaign has changed."""
        campaign = (source, campaign_id)
        if known := self._counts.get(campaign):
            known.is_touched = True
        if campaign in self._running:
            self._touched.add(campaign)

    async def _count(self, campaign: Campaign) -> Statistics:
        began = time.monotonic()
        statistics = await count_statistics(self._database, *campaign)
        if len(self._counts) >= CAMPAIGNS_KNOWN:
            self._counts.clear()
        self._counts[campaign] = CachedCount(statistics, began, campaign in self._touched)
        return statistics

    def _ended(self, campaign: Campaign, task: asyncio.Task[Statistics]) -> None:
        del self._running[campaign]
        self._touched.discard(campaign)
        if not task.cancelled():
            task.exception()  # who waits for it gets it; a count that nobody waits for may fail unheard
