"""The rate limiter: what comes back evenly, and processes that share a limit by the counts that they exchange."""

import json
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from api.runtime.rate_limit import RateLimiter
from db.core.connection import Database

SetClock = Callable[[float], None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Sets the limiters' clock."""

    def at(second: float) -> None:
        monkeypatch.setattr("api.runtime.rate_limit.time", SimpleNamespace(monotonic=lambda: second))

    at(0)
    return at


def new_limiter() -> RateLimiter:
    """One that is not connected: it needs the database only to send its counts."""
    return RateLimiter(Database("postgresql://postgres@127.0.0.1:1/groupbuy", size=1))


def allowed(limiter: RateLimiter, requests: int) -> int:
    """Takes this many requests of one mall with a limit of 100; returns how many are allowed."""
    return sum(limiter.take("s01", 100).allowed for _ in range(requests))


def test_a_limit_is_not_to_be_had_twice_at_the_edge_of_a_second(clock: SetClock) -> None:
    limiter = new_limiter()
    clock(10.99)
    assert allowed(limiter, 150) == 100
    clock(11.005)
    assert allowed(limiter, 150) == 1
    clock(11.255)
    assert allowed(limiter, 150) == 25
    clock(60.0)
    assert allowed(limiter, 150) == 100  # a second's worth, however long nothing was asked


def test_processes_share_a_malls_limit(clock: SetClock) -> None:
    one, two = new_limiter(), new_limiter()

    def exchange_counts() -> None:
        notices = [json.dumps([limiter._process, limiter.close_interval()]) for limiter in (one, two)]
        for limiter in (one, two):
            for notice in notices:
                limiter.receive_counts(notice)

    clock(0.2)
    assert (allowed(one, 150), allowed(two, 50)) == (100, 50)  # neither has received the other's counts
    clock(1)
    exchange_counts()
    for second in (2, 3, 4):
        clock(second)
        assert (allowed(one, 150), allowed(two, 50)) == (75, 25)
        exchange_counts()
    clock(5)
    assert (allowed(one, 30), allowed(two, 4)) == (30, 4)
    exchange_counts()
    clock(6)
    assert allowed(one, 150) == 100  # the other's count was too small to be shared
    for second in (7, 8, 12):
        clock(second)
        exchange_counts()
    assert (one._usages, two._usages) == ({}, {})
    assert allowed(two, 150) == 100


@pytest.mark.usefixtures("clock")
def test_headers_contain_limit_and_remaining_requests() -> None:
    limiter = new_limiter()
    decisions = [limiter.take("s01", 2) for _ in range(3)]
    remaining = [dict(decision.headers)[b"ratelimit"] for decision in decisions]
    assert remaining == [b'"mall";r=1;t=1', b'"mall";r=0;t=1', b'"mall";r=0;t=1']
    assert [decision.allowed for decision in decisions] == [True, True, False]
    assert dict(decisions[0].headers)[b"ratelimit-policy"] == b'"mall";q=2;w=1'
    assert limiter.take("s01", 3).allowed  # the limit was raised
    assert limiter.take("s02", 1).allowed
    assert limiter.take("key-0123456789abcdef", 1, b"operations").headers[0][1] == b'"operations";q=1;w=1'
