"""Counts of campaigns: small ones together, and nobody waits for a large one but those who look at it."""

import asyncio
from collections.abc import Sequence

import pytest

from api.runtime import statistics
from api.runtime.statistics import ROWS_COUNTED_ALONE, CachedCount, Campaign, StatisticsCache
from db.core.connection import Database
from domain.schemas.market import Statistics

SMALL, OTHER, LARGE = ("s01", 1), ("s01", 2), ("s01", 3)


class Counts:
    """What is counted of each campaign: its number. The large one is counted when it may."""

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
    return counts


@pytest.fixture
def cache() -> StatisticsCache:
    return StatisticsCache(Database("postgresql://postgres@127.0.0.1:1/groupbuy", size=1))


async def test_small_campaigns_are_counted_together(counts: Counts, cache: StatisticsCache) -> None:
    found = await asyncio.gather(cache.get(*SMALL), cache.get(*OTHER), cache.get(*SMALL))
    assert list(found) == [counted(1), counted(2), counted(1)]
    assert counts.asked == [[SMALL, OTHER]]


async def test_a_small_campaign_does_not_wait_for_a_large_one(counts: Counts, cache: StatisticsCache) -> None:
    long_ago = -1e9
    cache.remember(LARGE, CachedCount(counted(ROWS_COUNTED_ALONE), long_ago))
    large = asyncio.create_task(cache.get(*LARGE))
    assert await cache.get(*SMALL) == counted(1)
    counts.may_count_large.set()
    assert await large == counted(3)
    assert sorted(counts.asked) == [[SMALL], [LARGE]]
