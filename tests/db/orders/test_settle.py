"""Settling payments: each counts once, and the last one completes the team."""

import asyncio
import json
from datetime import timedelta
from decimal import Decimal

import pytest

from db.core.connection import transaction
from db.orders.settle import record_other_amount
from domain.errors import ErrorCode
from domain.lifecycle import OrderStatus, PaymentOutcome, PaymentReason, TeamDecision, TeamStatus
from domain.messages.orders import HeldSeat, SettledPayment
from domain.schemas.orders import Payment
from tests.db.shop import DEADLINE, NOW, OVERDUE, PAY_PRICE, Member, Shop, cancelled


async def test_a_payment_is_settled(shop: Shop) -> None:
    opener, _ = await shop.team(await shop.campaign(), locked=2)

    settled = await shop.settle(opener, now=NOW + timedelta(seconds=9))

    assert (settled.outcome, settled.team.status, settled.repeated) == (PaymentOutcome.SETTLED, TeamStatus.FORMING, False)
    [seat] = settled.seats
    assert (seat.out_trade_no, seat.user_id, seat.status) == (opener.number, opener.request.user_id, OrderStatus.PAID)
    team, order = await shop.team_row(opener), await shop.order_row(opener)
    assert (team["lock_count"], team["complete_count"]) == (2, 1)
    assert (order["paid_amount"], order["paid_at"]) == (PAY_PRICE, NOW + timedelta(seconds=9))


async def test_a_payment_after_the_window_is_settled_while_the_seat_is_held(shop: Shop) -> None:
    (opener,) = await shop.team(await shop.campaign())

    assert (await shop.settle(opener, now=DEADLINE + timedelta(days=1))).outcome is PaymentOutcome.SETTLED


async def test_the_last_two_payers_complete_the_team_once(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=3)
    for _ in range(30):
        members = await shop.team(campaign, paid=1, locked=2)

        answers = await shop.race(*(shop.settle(member) for member in members[1:]))

        assert {answer.outcome for answer in answers} == {PaymentOutcome.SETTLED}
        assert sorted(answer.team.status for answer in answers) == ["completed", "forming"]
        assert sorted(answer.team.refund_until is not None for answer in answers) == [False, True]
        assert await shop.event_types(members[0]) == ["team.completed"]
        team = await shop.team_row(members[0])
        assert (team["status"], team["completion"], team["complete_count"]) == ("completed", "target", 3)


async def test_team_completed_names_the_members(shop: Shop) -> None:
    members = await shop.team(await shop.campaign(), paid=3, locked=0)

    data = await shop.value("SELECT data FROM events WHERE type = 'team.completed'")

    assert all(f'"{member.number}"' in data for member in members)
    assert '"completion": "target"' in data


async def test_team_completed_names_the_members_at_commit_not_at_the_begin_of_the_wait(shop: Shop) -> None:
    opener, other, last = await shop.team(await shop.campaign(), paid=2, locked=1)
    async with transaction(shop.database) as blocker:
        await blocker.execute("UPDATE teams SET complete_count = complete_count WHERE team_id = $1", last.team_id)
        paying = asyncio.create_task(shop.settle(last))
        await shop.until_waiting(1)
        await blocker.execute("UPDATE orders SET out_trade_no = 'another' WHERE order_id = $1", other.order_id)

    assert (await paying).team.status is TeamStatus.COMPLETED

    data = await shop.value("SELECT data FROM events WHERE type = 'team.completed'")
    assert json.loads(data)["out_trade_nos"] == sorted([opener.number, "another", last.number])


async def test_concurrent_repeats_return_the_first_outcome_and_count_once(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=2)
    for _ in range(20):
        (opener,) = await shop.team(campaign)

        answers = await shop.race(*(shop.settle(opener) for _ in range(6)))

        assert [answer.model_copy(update={"repeated": True}) for answer in answers] == [await shop.settle(opener)] * 6
        assert [answer.repeated for answer in answers].count(False) == 1
        assert (await shop.team_row(opener))["complete_count"] == 1


async def test_of_different_amounts_the_first_is_settled_and_the_others_are_recorded_as_conflicts(shop: Shop) -> None:
    campaign = await shop.campaign()
    amounts = (PAY_PRICE, PAY_PRICE, Decimal("79.00"), Decimal("79.00"), Decimal("81.00"))
    for _ in range(20):
        (opener,) = await shop.team(campaign)

        answers = await shop.race(*(shop.try_settle(opener, amount) for amount in amounts))

        first = (await shop.order_row(opener))["paid_amount"]
        for amount, answer in zip(amounts, answers, strict=True):
            assert isinstance(answer, SettledPayment) if amount == first else answer is ErrorCode.OUT_TRADE_NO_REUSED
        conflicts = await shop.rows("SELECT amount FROM payment_conflicts WHERE order_id = $1", opener.order_id)
        assert sorted(row["amount"] for row in conflicts) == sorted({*amounts} - {first})


async def test_concurrent_reports_of_another_amount_are_recorded_once(shop: Shop) -> None:
    (opener,) = await shop.team(await shop.campaign(), paid=1, locked=0)
    payment = Payment(amount=Decimal("1.00"), paid_at=NOW)

    await shop.race(*(record_other_amount(shop.database, opener.order_id, payment, NOW) for _ in range(5)))

    assert await shop.value("SELECT count(*) FROM payment_conflicts") == 1


async def test_a_wrong_amount_is_refunded_and_releases_the_seat(shop: Shop) -> None:
    campaign = await shop.campaign(stock=3)
    members = await shop.team(campaign, paid=1, locked=2)
    mismatched = members[2]

    answer = await shop.settle(mismatched, Decimal("79.99"))

    assert (answer.outcome, answer.reason) == (PaymentOutcome.REFUNDING, PaymentReason.AMOUNT_MISMATCH)
    assert (answer.seats[0].status, answer.team.status) == (OrderStatus.REFUNDING, TeamStatus.FORMING)
    team = await shop.team_row(mismatched)
    assert (team["lock_count"], team["complete_count"]) == (2, 1)
    assert await shop.live_of(campaign, mismatched.request.user_id) == 0
    assert await shop.value("SELECT live FROM campaign_stock") == 2
    assert isinstance(await shop.try_lock(shop.joiner(mismatched, user=mismatched.request.user_id)), HeldSeat)
    again = await shop.settle(mismatched, Decimal("79.99"))
    assert (again.outcome, again.reason, again.seats) == (answer.outcome, answer.reason, answer.seats)
    assert (again.repeated, again.refund_attempt) == (True, answer.refund_attempt)


async def test_a_wrong_amount_for_the_only_seat_fails_the_team_without_team_event(shop: Shop) -> None:
    (opener,) = await shop.team(await shop.campaign())

    answer = await shop.settle(opener, Decimal("0.00"))

    assert answer.team.status is TeamStatus.FAILED
    team = await shop.team_row(opener)
    assert (team["status"], team["fail_reason"], team["lock_count"]) == ("failed", "abandoned", 0)
    assert await shop.event_types(opener) == ["order.refunded"]


@pytest.mark.parametrize("amount", [PAY_PRICE, Decimal("1.00")])
async def test_a_payment_for_a_cancelled_order_is_refunded_as_late(shop: Shop, amount: Decimal) -> None:
    opener, other = await shop.team(await shop.campaign(), paid=1, locked=1)
    await shop.conclude(opener, TeamDecision.COMPLETE)

    answer = await shop.settle(other, amount)

    assert (answer.outcome, answer.reason) == (PaymentOutcome.REFUNDING, PaymentReason.LATE_PAYMENT)
    assert answer.team.status is TeamStatus.COMPLETED
    order, team = await shop.order_row(other), await shop.team_row(other)
    assert (order["status"], order["live"], order["paid_amount"]) == ("refunding", False, amount)
    assert order["cancel_reason"] == "team_completed"
    assert (team["lock_count"], team["complete_count"]) == (1, 1)


async def test_a_payment_races_against_the_release_of_its_seat(shop: Shop) -> None:
    """Either the payment is settled and the seat stays, or the seat is released and the payment is late."""
    campaign = await shop.campaign(stock=1000)

    async def release(member: Member) -> list[str]:
        return cancelled(await shop.release(member, OVERDUE, [member.number]))

    settled_count = 0
    for _ in range(30):
        (opener,) = await shop.team(campaign)

        settled, released = await shop.race(shop.settle(opener), release(opener))

        assert isinstance(settled, SettledPayment)
        assert (settled.outcome is PaymentOutcome.SETTLED) == (released == [])
        settled_count += settled.outcome is PaymentOutcome.SETTLED
    assert 0 < settled_count < 60
