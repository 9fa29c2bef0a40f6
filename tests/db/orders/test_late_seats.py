"""Seats that their teams' workflows are late with are released in the rows, as long as the engine answers."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.service import RPCError, RPCStatusCode

from db.orders.release import has_late_seats, release_overdue
from db.reconciliation.conditions import LATE_BY
from db.reconciliation.findings import record_findings
from domain.messages.orders import ReleaseOverdue
from domain.schemas.attention import AttentionKind
from domain.seats import LATE_AFTER
from tests.db.shop import NOW, OVERDUE, Member, Shop
from workers.late_seats import LateSeats

INSTANT = timedelta(microseconds=1)
LATE = OVERDUE + LATE_AFTER
FOUND = OVERDUE + LATE_BY + INSTANT
"""when reconciliation finds it at the earliest"""


async def answers() -> None:
    """What an engine does that is there."""


async def is_away() -> None:
    raise RPCError("away", RPCStatusCode.UNAVAILABLE, b"")


async def wakeups(shop: Shop) -> list[str]:
    return [row["team_id"] for row in await shop.rows("SELECT team_id FROM team_wakeups")]


async def opened(shop: Shop, count: int) -> list[Member]:
    campaign = await shop.campaign()
    return [(await shop.team(campaign))[0] for _ in range(count)]


async def test_a_seat_is_late_when_its_window_and_grace_are_over(shop: Shop) -> None:
    (opener,) = await opened(shop, 1)

    assert not await has_late_seats(shop.database, LATE - INSTANT)
    assert await has_late_seats(shop.database, LATE)
    await shop.settle(opener)
    assert not await has_late_seats(shop.database, LATE)


async def test_those_that_reconciliation_failed_with_are_left_to_it(shop: Shop) -> None:
    (opener,) = await opened(shop, 1)
    await record_findings(shop.database, AttentionKind.TEAM, {opener.team_id: "defect"}, [], FOUND)

    assert await LateSeats(shop.database, answers).release(LATE) == 0
    await record_findings(shop.database, AttentionKind.TEAM, {}, [opener.team_id], FOUND)
    assert await LateSeats(shop.database, answers).release(LATE) == 1
    await shop.execute("DELETE FROM team_wakeups")


async def test_they_are_released_and_their_workflows_told(shop: Shop) -> None:
    openers = await opened(shop, 5)
    seats = LateSeats(shop.database, answers)

    assert await seats.release(LATE - INSTANT) == 0
    assert await seats.release(LATE) == 5

    for opener in openers:
        order = await shop.order_row(opener)
        assert (order["status"], order["cancel_reason"]) == ("cancelled", "lock_timeout")
        assert (await shop.team_row(opener))["status"] == "failed"
    assert sorted(await wakeups(shop)) == sorted(opener.team_id for opener in openers)
    assert await seats.release(LATE) == 0
    await shop.execute("DELETE FROM team_wakeups")


async def test_many_teams_are_left_as_each_would_be_by_itself(shop: Shop) -> None:
    """With and without members who have paid, or whose window is not over yet; one buyer has seats in several."""

    async def teams() -> list[Member]:
        campaign = await shop.campaign(take_limit=9)
        buyer, openers = shop.fresh("u"), []
        for paid, locked, late in ((0, 1, 0), (0, 2, 0), (1, 1, 0), (0, 1, 1), (1, 0, 0)):
            opener = shop.opener(campaign, user=buyer)
            await shop.lock(opener)
            if paid:
                await shop.settle(opener)
            for _ in range(locked + paid - 1):
                await shop.lock(shop.joiner(opener))
            for _ in range(late):
                await shop.lock(shop.joiner(opener), NOW + timedelta(seconds=30))
            openers.append(opener)
        return openers

    async def left(openers: list[Member]) -> list[object]:
        rows = [await shop.team_row(opener) for opener in openers]
        seats = [
            await shop.rows(
                "SELECT status, live, cancel_reason FROM orders WHERE team_id = $1 ORDER BY locked_at, status", opener.team_id
            )
            for opener in openers
        ]
        campaign = await shop.value("SELECT campaign_id FROM teams WHERE team_id = $1", openers[0].team_id)
        names = ("status", "fail_reason", "failed_at", "lock_count", "complete_count", "version")
        return [
            [[row[name] for name in names] for row in rows],
            [[tuple(seat) for seat in of_team] for of_team in seats],
            [await shop.event_types(opener) for opener in openers],
            await shop.value("SELECT live FROM campaign_stock WHERE campaign_id = $1", campaign),
            await shop.value("SELECT sum(live) FROM user_quotas WHERE campaign_id = $1", campaign),
        ]

    by_themselves, together = await teams(), await teams()
    for opener in by_themselves:
        await release_overdue(shop.database, ReleaseOverdue(team_id=opener.team_id, now=LATE), wakes_team=True)
    assert await LateSeats(shop.database, answers).release(LATE) == 4

    assert await left(together) == await left(by_themselves)
    assert sorted(await wakeups(shop)) == sorted(opener.team_id for opener in (*by_themselves[:4], *together[:4]))
    await shop.execute("DELETE FROM team_wakeups")


async def test_two_processes_that_look_at_the_same_time_release_each_seat_once(shop: Shop) -> None:
    openers = await opened(shop, 5)

    await asyncio.gather(*(LateSeats(shop.database, answers).release(LATE) for _ in range(2)))

    assert [(await shop.event_types(opener)).count("order.cancelled") for opener in openers] == [1] * 5
    await shop.execute("DELETE FROM team_wakeups")


async def test_they_are_kept_while_the_engine_is_away(shop: Shop) -> None:
    (opener,) = await opened(shop, 1)

    with pytest.raises(RPCError):
        await LateSeats(shop.database, is_away).release(LATE)

    assert (await shop.order_row(opener))["status"] == "locked"
    await shop.release(opener)
