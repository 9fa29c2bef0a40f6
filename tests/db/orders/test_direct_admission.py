"""Locks and payments beside the team's workflow: the same transactions, a fence, and a wake-up in the same commit."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

import domain.seats
from db.core.connection import transaction
from db.core.invariants import violations
from db.orders.lock import lock_seat, lock_seat_directly
from db.orders.queries import read_order
from db.orders.settle import settle_payment_directly
from db.teams.take_over import take_over
from domain.errors import ErrorCode, NotDirectError, Refusal, StaleRequestError
from domain.ids import order_id
from domain.lifecycle import OrderStatus, PaymentOutcome, TeamDecision, TeamStatus
from domain.messages.orders import HeldSeat, LockSeat, SettledPayment
from domain.messages.teams import ConcludedTeam, TakeOver, TeamRows
from domain.wakeups import Urgency
from tests.db.shop import DEADLINE, GRACE, NOW, OVERDUE, PAY_PRICE, SHOP_ADDRESS, WINDOW_OVER, Member, Shop, payment_of

HOLD_FENCE = "SELECT groupbuy_fence($1, NULL)"


async def lock_directly(shop: Shop, member: Member, now: datetime = NOW, *, was_asked_before: bool = False) -> HeldSeat:
    lock = LockSeat(request=member.request, now=now)
    held, _ = await lock_seat_directly(shop.database, lock, was_asked_before=was_asked_before)
    return held


async def settle_directly(shop: Shop, member: Member, amount: Decimal = PAY_PRICE, request_id: str = "") -> SettledPayment:
    return await settle_payment_directly(shop.database, payment_of(member, amount, request_id=request_id))


async def taken_over(shop: Shop, member: Member) -> TeamRows:
    return await take_over(shop.database, TakeOver(team_id=member.team_id, now=NOW))


async def wakeup(shop: Shop, member: Member) -> tuple[int, int, int, datetime] | None:
    """Urgency, locks, payments and due time of the team's wake-up."""
    async with transaction(shop.database) as conn:
        row = await conn.fetchrow(
            "SELECT urgency, locks, payments, due_at FROM team_wakeups WHERE team_id = $1", member.team_id
        )
    return tuple(row) if row else None


async def test_a_seat_taken_directly_leaves_a_wakeup_that_the_take_over_deletes(shop: Shop) -> None:
    campaign = await shop.campaign()
    opener = shop.opener(campaign)

    held = await lock_directly(shop, opener)
    await lock_directly(shop, shop.joiner(opener))

    assert held.seats[0].status is OrderStatus.LOCKED
    assert await wakeup(shop, opener) == (Urgency.SEATS, 2, 0, WINDOW_OVER + timedelta(seconds=GRACE))
    row = await shop.team_row(opener)
    assert (row["admitted"], row["taken_over_at"], row["version"]) == ("direct", None, 2)
    rows = await taken_over(shop, opener)
    assert rows.rows is not None
    assert (rows.locks, rows.payments, len(rows.rows.seats)) == (2, 0, 2)
    assert await wakeup(shop, opener) is None
    assert (await shop.team_row(opener))["taken_over_at"] == NOW
    assert (await taken_over(shop, opener)).locks == 0


async def test_the_last_payment_taken_directly_completes_the_team_and_is_urgent(shop: Shop) -> None:
    first, second = await shop.team(await shop.campaign(target_count=2), locked=2, callback=SHOP_ADDRESS)

    assert (await settle_directly(shop, first)).team.status is TeamStatus.FORMING
    assert await wakeup(shop, first) == (Urgency.SEATS, 0, 1, DEADLINE)
    completed = await settle_directly(shop, second)

    assert (completed.outcome, completed.team.status) == (PaymentOutcome.SETTLED, TeamStatus.COMPLETED)
    assert await wakeup(shop, first) == (Urgency.DECIDED, 0, 2, NOW)
    rows = (await taken_over(shop, first)).rows
    assert rows is not None
    assert rows.event_ids == completed.event_ids


async def test_a_direct_lock_answers_with_its_order(shop: Shop) -> None:
    opener = shop.opener(await shop.campaign())
    for member in (opener, shop.joiner(opener), opener):  # the last one is a repeat
        lock = LockSeat(request=member.request, now=NOW)
        _, order = await lock_seat_directly(shop.database, lock, was_asked_before=False)
        assert order == await read_order(shop.database, member.request.source, member.number)


async def test_a_payment_that_needs_more_than_its_seat_is_not_direct_and_changes_nothing(shop: Shop) -> None:
    other_amount, cancelled, late, *_ = await shop.team(await shop.campaign(target_count=4), locked=4)
    await shop.refund(cancelled)
    await taken_over(shop, cancelled)
    before = await shop.team_row(cancelled)
    with pytest.raises(NotDirectError):
        await settle_directly(shop, other_amount, Decimal("1.00"))
    with pytest.raises(NotDirectError):
        await settle_directly(shop, cancelled)
    assert await shop.team_row(cancelled) == before
    assert await wakeup(shop, cancelled) is None

    await shop.release(late, OVERDUE)
    with pytest.raises(NotDirectError):
        await settle_directly(shop, late)


async def test_the_request_that_took_the_seat_or_paid_is_told_from_a_replay(shop: Shop) -> None:
    opener = shop.opener(await shop.campaign()).with_request(request_id="first")
    again = opener.with_request(request_id="second")

    assert (await lock_directly(shop, opener)).admitted_by == "first"
    assert (await lock_directly(shop, again)).admitted_by == "first"
    assert (await shop.lock(again)).admitted_by == "first"
    assert (await settle_directly(shop, opener, request_id="third")).admitted_by == "third"
    repeated = await settle_directly(shop, opener, request_id="fourth")
    assert (repeated.admitted_by, repeated.repeated) == ("third", True)


async def test_a_request_after_its_time_takes_no_seat(shop: Shop) -> None:
    campaign = await shop.campaign()
    opener = shop.opener(campaign)
    stale = opener.with_request(valid_until=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(StaleRequestError):
        await shop.lock(stale)
    assert await shop.value("SELECT count(*) FROM teams") == 0

    await shop.lock(opener.with_request(valid_until=datetime.now(UTC) + timedelta(minutes=1)))
    with pytest.raises(StaleRequestError):
        await shop.lock(shop.joiner(opener).with_request(valid_until=datetime.now(UTC) - timedelta(seconds=1)))


async def test_who_was_asked_before_waits_for_the_workflows_attempt(shop: Shop) -> None:
    """The refusal of the second attempt would be false if the first one, still under way, took the seat afterwards."""
    campaign = await shop.campaign(target_count=2)
    (opener,) = await shop.team(campaign)
    joiner = shop.joiner(opener)
    async with transaction(shop.database) as conn:  # the workflow's attempt, which has passed the fence
        await conn.execute(HOLD_FENCE, order_id(joiner.request.source, joiner.number))
        second = asyncio.create_task(lock_directly(shop, joiner, DEADLINE, was_asked_before=True))
        await shop.until_waiting(1)
        assert not second.done()
    with pytest.raises(Refusal) as refused:
        await second
    assert refused.value.code is ErrorCode.TEAM_CLOSED


async def test_an_opener_that_goes_both_ways_at_once_opens_one_team(shop: Shop) -> None:
    campaign = await shop.campaign(stock=100)
    for round_ in range(1, 31):
        opener = shop.opener(campaign)
        fenced = opener.with_request(valid_until=datetime.now(UTC) + timedelta(minutes=1))

        answers = await shop.race(shop.lock(fenced), lock_directly(shop, opener), lock_directly(shop, opener))

        assert sorted(answer.repeated for answer in answers) == [False, True, True]
        assert await shop.value("SELECT live FROM campaign_stock") == round_
    assert await violations(shop.database, NOW) == []


async def test_both_ways_at_once_take_exactly_the_free_seats(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=4)
    for _ in range(20):
        (opener,) = await shop.team(campaign)

        async def try_directly(member: Member) -> HeldSeat | ErrorCode:
            try:
                return await lock_directly(shop, member)
            except Refusal as refusal:
                return refusal.code

        joiners = [shop.joiner(opener) for _ in range(8)]
        answers = await shop.race(
            *(shop.try_lock(joiner) if number % 2 else try_directly(joiner) for number, joiner in enumerate(joiners))
        )

        assert sum(isinstance(answer, HeldSeat) for answer in answers) == 3
        assert sum(answer is ErrorCode.TEAM_FULL for answer in answers) == 5


async def test_a_direct_lock_and_the_end_of_the_team_exclude_each_other(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=4)
    for _ in range(20):
        (opener,) = await shop.team(campaign)
        joiner = shop.joiner(opener)

        async def try_directly(member: Member = joiner) -> HeldSeat | ErrorCode:
            try:
                return await lock_directly(shop, member)
            except Refusal as refusal:
                return refusal.code

        closed, seat = await shop.race(shop.conclude(opener, TeamDecision.CLOSE), try_directly())

        assert isinstance(closed, ConcludedTeam)
        assert closed.decides_team
        if isinstance(seat, HeldSeat):  # before the end, which has cancelled it
            assert await shop.value("SELECT status FROM orders WHERE order_id = $1", joiner.order_id) == "cancelled"
        else:
            assert seat is ErrorCode.TEAM_CLOSED


async def test_a_change_after_the_take_over_leaves_another_wakeup(shop: Shop) -> None:
    """A take-over reads and deletes under the lock of the team's row, so that no change falls between the two."""
    campaign = await shop.campaign(target_count=100)
    (opener,) = await shop.team(campaign)
    for _ in range(20):
        joiners = [shop.joiner(opener) for _ in range(4)]
        rows, *_ = await shop.race(taken_over(shop, opener), *(lock_directly(shop, joiner) for joiner in joiners))

        assert isinstance(rows, TeamRows)
        assert rows.rows is not None
        seen = {seat.out_trade_no for seat in rows.rows.seats}
        if not seen.issuperset(joiner.number for joiner in joiners):
            assert await wakeup(shop, opener) is not None
        await taken_over(shop, opener)
    assert await violations(shop.database, NOW) == []


async def test_the_seats_of_a_crowd_are_taken_over_with_lapses_one_after_the_other(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domain.seats, "LAPSES_PER_SECOND", 0.2)
    campaign = await shop.campaign()
    openers = [shop.opener(campaign) for _ in range(8)]
    for opener in openers:
        await lock_directly(shop, opener)
    taken = [await taken_over(shop, opener) for opener in openers]
    lapses = [seat.keep_until for each in taken if each.rows for seat in each.rows.seats if seat.keep_until]
    due = WINDOW_OVER + timedelta(seconds=GRACE)
    assert len(set(lapses)) == len(openers)
    assert all(due <= lapse <= due + timedelta(seconds=len(openers) / 0.2) for lapse in lapses)
    for opener in openers[2:]:
        await shop.settle(opener)  # who has paid does not lapse
    rows = (await taken_over(shop, openers[0])).rows
    assert rows is not None
    assert [seat.keep_until for seat in rows.seats] == [due]


async def test_a_direct_change_without_a_wakeup_is_a_violation(shop: Shop) -> None:
    opener = shop.opener(await shop.campaign())
    await lock_directly(shop, opener)
    assert await violations(shop.database, NOW + timedelta(minutes=1)) == []
    late = NOW + timedelta(hours=2)
    assert [each.invariant for each in await violations(shop.database, late)] == [7]
    await shop.execute("DELETE FROM team_wakeups")
    assert [each.invariant for each in await violations(shop.database, NOW)] == [7]
    await shop.execute("UPDATE teams SET taken_over_at = $1", NOW)


async def test_the_refusals_are_those_of_the_workflows_way(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=2, stock=3)
    first, second = await shop.team(campaign, locked=2)
    (alone,) = await shop.team(campaign)
    cases = [
        shop.joiner(first),  # full
        shop.joiner(alone, user=alone.request.user_id),
        shop.opener(campaign, user=second.request.user_id),  # take limit
        shop.joiner(alone),  # stock
        shop.opener(campaign),
        second.with_request(user_id="another"),  # reused number
        shop.joiner(alone).with_request(team_id="nowhere"),
        shop.opener(campaign).with_request(goods_id="unknown"),
        shop.opener(campaign).with_request(campaign_id=1),
    ]
    for member in cases:
        codes = []
        for attempt in (lock_seat(shop.database, LockSeat(request=member.request, now=NOW)), lock_directly(shop, member)):
            with pytest.raises(Refusal) as refused:
                await attempt
            codes.append(refused.value.code)
        assert codes[0] == codes[1]
