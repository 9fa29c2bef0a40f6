"""What the load of a crowd says about itself."""

import asyncio
from collections import Counter

from prometheus_client import generate_latest

from api.runtime.admission import ADMISSIONS, Reason
from bench.arrivals import Answers, arrive
from bench.crowd import parse_ways


async def test_arrivals_do_not_wait_for_earlier_ones() -> None:
    arrived: list[int] = []
    all_arrived = asyncio.Event()

    async def play(number: int, _: float) -> None:
        arrived.append(number)
        if len(arrived) == 3:
            all_arrived.set()
        await all_arrived.wait()

    arrivals = await arrive([0.0, 0.0, 0.01], 3, play)

    assert arrived == [0, 1, 2]
    assert (arrivals.expected, arrivals.dropped) == (3, 0)


async def test_arrivals_beyond_those_under_way_are_dropped() -> None:
    arrived: list[int] = []

    async def play(number: int, _: float) -> None:
        arrived.append(number)

    arrivals = await arrive([0.0, 0.0, 0.0], 1, play)

    assert arrived == [0]
    assert (arrivals.expected, arrivals.dropped) == (3, 2)


async def test_a_late_arrival_is_counted() -> None:
    async def play(_number: int, _due: float) -> None:
        pass

    arrivals = await arrive([0.0, -5.0], 2, play)

    assert arrivals.late == 1
    assert arrivals.most_late >= 5


def test_failed_answers_are_those_of_the_server_and_none_at_all() -> None:
    answers = Answers()
    for code in ("201", "409 team_full", "503 temporarily_unavailable", "none within 30 s"):
        answers.add(code, 1.0)

    assert answers.failed == Counter({"503 temporarily_unavailable": 1, "none within 30 s": 1})


def test_ways_are_read_from_the_metrics_of_the_api() -> None:
    before = parse_ways(generate_latest().decode())
    ADMISSIONS.labels("lock", "orchestrated", "").inc()
    ADMISSIONS.labels("lock", "direct", Reason.SAME_TEAM).inc(2)
    ADMISSIONS.labels("payment", "direct", Reason.BOUND).inc(3)

    ways = parse_ways(generate_latest().decode()).since(before)

    assert (ways.orchestrated, ways.direct) == (1, Counter({"same_team": 2, "bound": 3}))
