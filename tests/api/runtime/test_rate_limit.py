"""The rate limiter: processes share a mall's limit by the counts that they exchange."""

import json
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from api.runtime.rate_limit import RateLimiter
from db.core.connection import Database


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the limiters' clock."""

    def at(second: float) -> None:
        monkeypatch.setattr("api.runtime.rate_limit.time", SimpleNamespace(time=lambda: second, monotonic=lambda: second))

    return at


def new_limiter() -> RateLimiter:
    """One that is not connected: it needs the database only to send its counts."""
    return RateLimiter(Database("postgresql://postgres@127.0.0.1:1/groupbuy", size=1))


def allowed(limiter: RateLimiter, requests: int) -> int:
    """Takes this many requests of one mall with a limit of 100; returns how many are allowed."""
    return sum(limiter.take("s01", 100).allowed for _ in range(requests))


def test_processes_share_a_malls_limit(clock: Callable[[float], None]) -> None:
    one, two = new_limiter(), new_limiter()

    def exchange_counts() -> None:
        notices = [json.dumps([limiter._process, limiter._counts()]) for limiter in (one, two)]
        for limiter in (one, two):
            for notice in notices:
                limiter.receive_counts(notice)

    clock(10.5)
    assert (allowed(one, 150), allowed(two, 50)) == (100, 50)  # neither has received the other's counts
    for second in (11, 12, 13):
        clock(second + 0.2)
        exchange_counts()
        assert (allowed(one, 150), allowed(two, 50)) == (75, 25)
    clock(14.2)
    exchange_counts()
    assert (allowed(one, 30), allowed(two, 4)) == (30, 4)
    clock(15.2)
    exchange_counts()
    assert allowed(one, 150) == 100  # the other's count was too small to be shared
    clock(20)
    assert allowed(two, 150) == 100


def test_headers_contain_limit_and_remaining_requests(clock: Callable[[float], None]) -> None:
    limiter = new_limiter()
    clock(10.5)
    decisions = [limiter.take("s01", 2) for _ in range(3)]
    remaining = [dict(decision.headers)[b"ratelimit"] for decision in decisions]
    assert remaining == [b'"mall";r=1;t=1', b'"mall";r=0;t=1', b'"mall";r=0;t=1']
    assert [decision.allowed for decision in decisions] == [True, True, False]
    assert dict(decisions[0].headers)[b"ratelimit-policy"] == b'"mall";q=2;w=1'
    assert limiter.take("s01", 3).allowed  # the limit was raised
    assert limiter.take("s02", 1).allowed
