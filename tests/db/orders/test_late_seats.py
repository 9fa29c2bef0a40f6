"""Seats that their teams' workflows are late with are released in the rows, as long as the engine answers."""

import asyncio
from datetime import datetime, timedelta

import pytest
from temporalio.service import RPCError, RPCStatusCode

from db.reconciliation.conditions import LATE_BY
from db.reconciliation.findings import record_findings
from db.reconciliation.overdue import teams_with_late_seats
from domain.schemas.attention import AttentionKind
from domain.seats import LATE_AFTER
from tests.db.shop import OVERDUE, Member, Shop
from workers.late_seats import LateSeats

INSTANT = timedelta(microseconds=1)
FOUND = OVERDUE + LATE_BY + INSTANT
"""when reconciliation finds it at the earliest"""


async def answers() -> None:
    """What an engine does that is there."""


async def is_away() -> None:
    raise RPCError("away", RPCStatusCode.UNAVAILABLE, b"")


async def late(shop: Shop, since: datetime = OVERDUE, limit: int = 9) -> list[str]:
    return await teams_with_late_seats(shop.database, since, limit)


async def wakeups(shop: Shop) -> list[str]:
    return [row["team_id"] for row in await shop.rows("SELECT team_id FROM team_wakeups")]


async def opened(shop: Shop, count: int) -> list[Member]:
    campaign = await shop.campaign()
    return [(await shop.team(campaign))[0] for _ in range(count)]


async def test_a_seat_is_late_when_its_window_and_grace_are_over(shop: Shop) -> None:
    (opener,) = await opened(shop, 1)

    assert await late(shop, OVERDUE - INSTANT) == []
    assert await late(shop) == [opener.team_id]
    await shop.settle(opener)
    assert await late(shop) == []


async def test_those_that_reconciliation_failed_with_are_left_to_it(shop: Shop) -> None:
    (opener,) = await opened(shop, 1)
    await record_findings(shop.database, AttentionKind.TEAM, {opener.team_id: "defect"}, [], FOUND)

    assert await late(shop) == []
    await record_findings(shop.database, AttentionKind.TEAM, {}, [opener.team_id], FOUND)
    assert await late(shop) == [opener.team_id]
    await shop.release(opener)


async def test_they_are_released_and_their_workflows_told(shop: Shop) -> None:
    openers = await opened(shop, 5)
    seats = LateSeats(shop.database, answers)

    assert await seats.release_next(OVERDUE + LATE_AFTER - INSTANT) == 0
    assert await seats.release_next(OVERDUE + LATE_AFTER) == 5

    for opener in openers:
        order = await shop.order_row(opener)
        assert (order["status"], order["cancel_reason"]) == ("cancelled", "lock_timeout")
        assert (await shop.team_row(opener))["status"] == "failed"
    assert sorted(await wakeups(shop)) == sorted(opener.team_id for opener in openers)
    assert await seats.release_next(OVERDUE + LATE_AFTER) == 0
    await shop.execute("DELETE FROM team_wakeups")


async def test_two_processes_that_look_at_the_same_time_release_each_seat_once(shop: Shop) -> None:
    openers = await opened(shop, 5)

    await asyncio.gather(*(LateSeats(shop.database, answers).release_next(OVERDUE + LATE_AFTER) for _ in range(2)))

    assert [(await shop.event_types(opener)).count("order.cancelled") for opener in openers] == [1] * 5
    await shop.execute("DELETE FROM team_wakeups")


async def test_they_are_kept_while_the_engine_is_away(shop: Shop) -> None:
    (opener,) = await opened(shop, 1)

    with pytest.raises(RPCError):
        await LateSeats(shop.database, is_away).release_next(OVERDUE + LATE_AFTER)

    assert (await shop.order_row(opener))["status"] == "locked"
    await shop.release(opener)
