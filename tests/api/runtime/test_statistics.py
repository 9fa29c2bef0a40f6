"""Counts of campaigns: small ones together, and nobody waits for a large one but those who look at it."""

import asyncio
from collections.abc import Sequence

import pytest

from api.runtime import statistics
from api.runtime.statistics import SMALL_ROWS, Campaign, StatisticsCache
from db.core.connection import Database
from domain.schemas.market import Statistics

SMALL, OTHER, LARGE = ("s01", 1), ("s01", 2), ("s01", SMALL_ROWS + 1)


class Counts:
    """A campaign has as many teams as its number says. The large one is counted when it may."""

    def __init__(self) -> None:
        self.asked: list[list[Campaign]] = []
        self.may_count_large = asyncio.Event()

    async def count(self, _: Database, campaigns: Sequence[Campaign]) -> list[Statistics]:
        self.asked.append(list(campaigns))
        if LARGE in campaigns:
            await self.may_count_large.wait()
        return [counted(number) for _, number in campaigns]


def counted(teams: int) -> Statistics:
    return Statistics(team_count=teams, completed_team_count=0, user_count=0)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    counts = Counts()
    monkeypatch.setattr(statistics, "count_statistics", counts.count)
    for ttl in ("MIN_TTL", "TTL_PER_ROW"):  # each request counts again
        monkeypatch.setattr(statistics, ttl, 0.0)
    return counts


@pytest.fixture
def cache() -> StatisticsCache:
    return StatisticsCache(Database("postgresql://postgres@127.0.0.1:1/groupbuy", size=1))


async def test_campaigns_known_to_be_small_are_counted_together(counts: Counts, cache: StatisticsCache) -> None:
    for _ in range(2):
        found = await asyncio.gather(cache.get(*SMALL), cache.get(*OTHER), cache.get(*SMALL))
        assert list(found) == [counted(1), counted(2), counted(1)]
    assert counts.asked == [[SMALL], [OTHER], [SMALL, OTHER]]


async def test_a_small_campaign_does_not_wait_for_a_large_one(counts: Counts, cache: StatisticsCache) -> None:
    for _ in ("not known to be large", "known to be large"):
        counts.may_count_large.clear()
        large = asyncio.create_task(cache.get(*LARGE))
        assert await cache.get(*SMALL) == counted(1)
        counts.may_count_large.set()
        assert await large == counted(SMALL_ROWS + 1)
    assert counts.asked.count([LARGE]) == 2
