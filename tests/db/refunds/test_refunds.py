"""Refunds: the decision table of docs/rules.md on real rows, pair by pair, and each step of a refund."""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from db.attention import list_attention
from db.callbacks.deliveries import Attempt, pending_deliveries, record_attempt
from db.refunds.pending import owed_by_team
from db.refunds.queries import refunds_in_progress
from db.refunds.steps import finish_refund, flag_refund, release_refund, resume_refund
from domain.errors import ErrorCode, Refusal
from domain.ids import event_id
from domain.lifecycle import MallAnswer, PaymentOutcome, RefundKind, RefundStatus, TeamDecision, TeamStatus
from domain.messages.callbacks import Address
from domain.messages.orders import HeldSeat
from domain.messages.refunds import ChangeRefund, RefundAction, RefundState
from domain.schemas.events import EventType
from tests.acts import act_of
from tests.db.shop import DEADLINE, NOW, OVERDUE, PAY_PRICE, SHOP_ADDRESS, Member, Shop

WEEK = timedelta(days=7)
QUEUE = Address(kind="amqp", address="topic.orders")

Arrange = Callable[[Shop], Awaitable[Member]]


# --- an order in every status, in a team of every status ---


async def locked_in_forming(shop: Shop) -> Member:
    return (await shop.team(await shop.campaign(stock=9), paid=1, locked=1))[1]


async def paid_in_forming(shop: Shop) -> Member:
    return (await shop.team(await shop.campaign(stock=9), paid=1, locked=1))[0]


async def paid_in_completed(shop: Shop) -> Member:
    return (await shop.team(await shop.campaign(stock=9), paid=3, locked=0, callback=SHOP_ADDRESS))[0]


async def paid_in_completed_with_refunds(shop: Shop) -> Member:
    members = await shop.team(await shop.campaign(stock=9), paid=3, locked=0, callback=SHOP_ADDRESS)
    await shop.refund(members[1])
    await shop.answer(members[1], MallAnswer.AGREED)
    return members[0]


async def paid_in_failed(shop: Shop) -> Member:
    members = await shop.team(await shop.campaign(stock=9), paid=2, locked=0)
    await shop.conclude(members[0], TeamDecision.CLOSE)
    return members[0]


async def cancelled_in_forming(shop: Shop) -> Member:
    members = await shop.team(await shop.campaign(stock=9), paid=1, locked=1)
    await shop.release(members[0])
    return members[1]


async def cancelled_in_completed(shop: Shop) -> Member:
    members = await shop.team(await shop.campaign(stock=9), paid=1, locked=1)
    await shop.conclude(members[0], TeamDecision.COMPLETE)
    return members[1]


async def cancelled_in_failed(shop: Shop) -> Member:
    members = await shop.team(await shop.campaign(stock=9), paid=1, locked=1)
    await shop.conclude(members[0], TeamDecision.CLOSE)
    return members[1]


async def cancelled_by_refund(shop: Shop) -> Member:
    member = await locked_in_forming(shop)
    await shop.refund(member)
    return member


async def refunding_in_forming(shop: Shop) -> Member:
    member = await paid_in_forming(shop)
    await shop.refund(member)
    return member


async def requested_in_completed(shop: Shop) -> Member:
    member = await paid_in_completed(shop)
    await shop.refund(member)
    return member


async def refunded_in_forming(shop: Shop) -> Member:
    member = await refunding_in_forming(shop)
    await shop.finish(member)
    return member


UNPAID, UNFORMED, FORMED = RefundKind.UNPAID, RefundKind.PAID_UNFORMED, RefundKind.PAID_FORMED
DONE, AWAITING = RefundStatus.DONE, RefundStatus.AWAITING_MALL


@pytest.mark.parametrize(
    ("arrange", "kind", "status", "order", "live"),
    [
        (locked_in_forming, UNPAID, DONE, "cancelled", False),
        (paid_in_forming, UNFORMED, AWAITING, "refunding", False),
        (paid_in_completed, FORMED, AWAITING, "refunding", True),
        (paid_in_completed_with_refunds, FORMED, AWAITING, "refunding", True),
        (paid_in_failed, UNFORMED, AWAITING, "refunding", False),
        (cancelled_by_refund, UNPAID, DONE, "cancelled", False),
        (refunding_in_forming, UNFORMED, AWAITING, "refunding", False),
        (requested_in_completed, FORMED, AWAITING, "refunding", True),
        (refunded_in_forming, UNFORMED, DONE, "refunded", False),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
async def test_every_team_and_order_status_has_its_refund_kind(
    shop: Shop, arrange: Arrange, kind: RefundKind, status: RefundStatus, order: str, live: bool
) -> None:
    member = await arrange(shop)

    first = await shop.refund(member)
    again = await shop.refund(member)

    assert (first.kind, first.status, first.attempt) == (kind, status, 1)
    assert again == first.model_copy(update={"team_changed": False})
    row = await shop.order_row(member)
    assert (row["status"], row["live"]) == (order, live)
    assert await shop.value("SELECT count(*) FROM refunds WHERE order_id = $1", member.order_id) == 1


@pytest.mark.parametrize("arrange", [cancelled_in_forming, cancelled_in_completed, cancelled_in_failed])
async def test_an_order_cancelled_without_refund_has_none(shop: Shop, arrange: Arrange) -> None:
    member = await arrange(shop)
    before = await shop.order_row(member)

    assert await shop.try_refund(member) is ErrorCode.REFUND_NOT_FOUND

    assert await shop.order_row(member) == before


async def test_an_unknown_order_cannot_be_refunded(shop: Shop) -> None:
    member = shop.opener(await shop.campaign())
    with pytest.raises(Refusal, match=f"There is no order {member.number}") as refused:
        await shop.refund(member, out_trade_no=member.number)
    assert refused.value.code is ErrorCode.ORDER_NOT_FOUND


async def test_after_the_refund_window_only_force_refunds(shop: Shop) -> None:
    member = await paid_in_completed(shop)

    assert isinstance(await shop.try_refund(member, NOW + WEEK - timedelta(seconds=1)), RefundState)
    later = (await shop.team(await shop.campaign(), paid=3, locked=0, callback=SHOP_ADDRESS))[0]
    assert await shop.try_refund(later, NOW + WEEK) is ErrorCode.REFUND_WINDOW_CLOSED
    assert (await shop.order_row(later))["status"] == "paid"
    assert (await shop.refund(later, NOW + WEEK, force=True, operator="ann")).kind is FORMED


async def test_the_window_is_judged_by_the_moment_of_the_request_alone(shop: Shop) -> None:
    campaign = await shop.campaign()
    early, late, _ = await shop.team(campaign, paid=3, locked=0, callback=SHOP_ADDRESS)
    inside, over = NOW + WEEK - timedelta(seconds=1), NOW + WEEK

    assert (await shop.refund(early, over + WEEK, requested_at=inside)).kind is FORMED
    assert await shop.try_refund(late, inside, requested_at=over) is ErrorCode.REFUND_WINDOW_CLOSED


# --- what each kind leaves behind ---


@pytest.mark.parametrize(("operator", "reason"), [("", "buyer"), ("ann", "operator")])
async def test_an_unpaid_refund_releases_seat_and_quotas_at_once(shop: Shop, operator: str, reason: str) -> None:
    member = await locked_in_forming(shop)

    refund = await shop.refund(member, operator=operator)

    team, row = await shop.team_row(member), await shop.refund_row(member)
    assert (refund.team_status, team["lock_count"], team["complete_count"]) == ("forming", 1, 1)
    assert (row["amount"], row["reason"], row["finished_at"]) == (Decimal("0.00"), reason, NOW)
    assert (await shop.order_row(member))["cancel_reason"] == reason
    assert await shop.live_of(member.campaign, member.request.user_id) == 0
    assert await shop.value("SELECT live FROM campaign_stock") == 1
    assert await shop.event_types(member) == ["order.cancelled"]
    assert isinstance(await shop.try_lock(shop.joiner(member, user=member.request.user_id)), HeldSeat)


async def test_a_paid_unformed_refund_releases_the_seat_and_records_the_event(shop: Shop) -> None:
    member = await paid_in_forming(shop)

    refund = await shop.refund(member, reason="changed my mind")

    assert refund.released
    assert refund.left_live_team
    team = await shop.team_row(member)
    assert (team["status"], team["lock_count"], team["complete_count"]) == ("forming", 1, 0)
    assert await shop.live_of(member.campaign, member.request.user_id) == 0
    assert isinstance(await shop.try_lock(shop.joiner(member, user=member.request.user_id)), HeldSeat)
    data = await shop.value("SELECT data FROM events WHERE order_id = $1 AND type = 'order.refunded'", member.order_id)
    assert json.loads(data) == {
        "out_trade_no": member.number,
        "team_id": member.team_id,
        "kind": "paid_unformed",
        "amount": "80.00",
        "reason": "changed my mind",
    }
    assert (await shop.finish(member)).status is DONE
    assert (await shop.order_row(member))["status"] == "refunded"


async def test_a_team_completes_after_its_opener_left(shop: Shop) -> None:
    members = await shop.team(await shop.campaign(), paid=2, locked=0)
    await shop.refund(members[0])
    newcomers = [shop.joiner(members[0]) for _ in range(2)]
    for member in newcomers:
        await shop.lock(member)
        settled = await shop.settle(member)
    assert settled.team.status is TeamStatus.COMPLETED
    data = json.loads(await shop.value("SELECT data FROM events WHERE type = 'team.completed'"))
    assert sorted(data["out_trade_nos"]) == sorted(member.number for member in [members[1], *newcomers])


async def test_a_forming_team_without_members_fails_without_team_event(shop: Shop) -> None:
    members = await shop.team(await shop.campaign(), paid=1, locked=1)
    assert (await shop.refund(members[1])).team_status is TeamStatus.FORMING
    assert (await shop.refund(members[0])).team_status is TeamStatus.FAILED
    team = await shop.team_row(members[0])
    assert (team["fail_reason"], team["lock_count"], team["complete_count"]) == ("abandoned", 0, 0)
    assert await shop.event_types(members[0]) == ["order.cancelled", "order.refunded"]


async def test_nothing_is_released_before_the_mall_agrees(shop: Shop) -> None:
    member = await paid_in_completed(shop)

    refund = await shop.refund(member, reason="too late")

    assert refund.needs_consent
    assert not refund.released
    team = await shop.team_row(member)
    assert (team["status"], team["lock_count"], team["complete_count"]) == ("completed", 3, 3)
    assert await shop.live_of(member.campaign, member.request.user_id) == 1
    data = await shop.value("SELECT data FROM events WHERE type = 'order.refund_requested'")
    assert json.loads(data) == {
        "out_trade_no": member.number,
        "team_id": member.team_id,
        "amount": "80.00",
        "reason": "too late",
    }


async def test_the_malls_consent_releases_the_seat_which_is_not_joinable(shop: Shop) -> None:
    member = await paid_in_completed(shop)
    await shop.refund(member)

    released = await shop.answer(member, MallAnswer.AGREED)

    assert (released.team_status, released.status, released.released) == ("completed_with_refunds", AWAITING, True)
    team = await shop.team_row(member)
    assert (team["lock_count"], team["complete_count"]) == (2, 2)
    assert await shop.live_of(member.campaign, member.request.user_id) == 0
    assert await shop.try_lock(shop.joiner(member)) is ErrorCode.TEAM_CLOSED
    assert (await shop.finish(member)).status is DONE
    # A veto after the release changes nothing.
    assert await shop.answer(member, MallAnswer.VETOED) == await shop.refund(member)


async def test_a_veto_restores_the_order_and_a_later_request_is_a_new_attempt(shop: Shop) -> None:
    member = await paid_in_completed(shop)
    team_before, order_before = await shop.team_row(member), await shop.order_row(member)
    await shop.refund(member)

    rejected = await shop.answer(member, MallAnswer.VETOED)

    assert (rejected.status, rejected.released) == (RefundStatus.REJECTED, False)
    team = await shop.team_row(member)
    assert {**team, "version": 0} == {**team_before, "version": 0}
    assert team["version"] == team_before["version"] + 2
    assert await shop.order_row(member) == order_before
    # A request that names the rejected attempt gets its result; it does not begin another attempt.
    assert (await shop.refund(member, attempt=1)).status is RefundStatus.REJECTED
    again = await shop.refund(member, attempt=2)
    assert (again.attempt, again.status, again.answer) == (2, AWAITING, None)
    assert (await shop.answer(member, MallAnswer.AGREED, attempt=2)).released
    types = [row["type"] for row in await shop.rows("SELECT type FROM events WHERE order_id = $1", member.order_id)]
    assert sorted(types) == ["order.refund_requested", "order.refund_requested", "order.refunded"]
    assert (await shop.answer(member, MallAnswer.AGREED, attempt=1)).status is RefundStatus.REJECTED


async def test_a_completed_team_fails_when_its_last_member_leaves(shop: Shop) -> None:
    members = await shop.team(await shop.campaign(), paid=3, locked=0, callback=SHOP_ADDRESS)
    for member in members:
        await shop.refund(member)
    statuses = [(await shop.answer(member, MallAnswer.AGREED)).team_status for member in members]
    assert statuses == ["completed_with_refunds", "completed_with_refunds", "failed"]
    assert (await shop.team_row(members[0]))["fail_reason"] == "abandoned"
    assert "team.failed" not in await shop.event_types(members[0])


@pytest.mark.parametrize("callback", [QUEUE, None])
async def test_without_http_callback_a_paid_formed_refund_needs_no_consent(shop: Shop, callback: Address | None) -> None:
    members = await shop.team(await shop.campaign(), paid=3, locked=0, callback=callback)

    refund = await shop.refund(members[0])

    assert (refund.kind, refund.needs_consent, refund.released, refund.team_status) == (
        FORMED,
        False,
        True,
        "completed_with_refunds",
    )
    assert await shop.event_types(members[0]) == ["team.completed", "order.refunded"]


# --- payments that cannot be settled ---


async def test_a_payment_after_an_unpaid_refund_is_returned_by_a_second_refund(shop: Shop) -> None:
    member = await cancelled_by_refund(shop)

    settled = await shop.settle(member)

    assert (settled.outcome, settled.reason, settled.refund_attempt) == ("refunding", "late_payment", 2)
    refund = await shop.refund(member)
    assert (refund.kind, refund.attempt, refund.status) == (RefundKind.UNSETTLED, 2, AWAITING)
    assert (await shop.refund_row(member))["amount"] == PAY_PRICE
    assert (await shop.finish(member, attempt=2)).status is DONE
    assert (await shop.settle(member)).refund_attempt is None


async def test_a_wrong_amount_is_returned_exactly(shop: Shop) -> None:
    member = await locked_in_forming(shop)
    settled = await shop.settle(member, Decimal("12.34"))
    assert settled.refund_attempt == 1
    row = await shop.refund_row(member)
    assert (row["kind"], row["amount"], row["reason"], row["status"]) == (
        "unsettled",
        Decimal("12.34"),
        "amount_mismatch",
        "requested",
    )


async def test_a_payment_to_a_blocked_mall_is_returned(shop: Shop) -> None:
    member = await locked_in_forming(shop)
    await shop.block()
    settled = await shop.settle(member)
    assert (settled.outcome, settled.reason) == ("refunding", "mall_blocked")
    team = await shop.team_row(member)
    assert (team["lock_count"], team["complete_count"]) == (1, 1)


@pytest.mark.parametrize(
    ("later", "outcome"),
    [
        ("nothing", PaymentOutcome.RESEATED),
        ("full", PaymentOutcome.REFUNDING),
        ("limit", PaymentOutcome.REFUNDING),
        ("stock", PaymentOutcome.REFUNDING),
        ("seat", PaymentOutcome.REFUNDING),
        ("deadline", PaymentOutcome.REFUNDING),
        ("amount", PaymentOutcome.REFUNDING),
        ("blocked", PaymentOutcome.REFUNDING),
    ],
)
async def test_a_late_payment_is_reseated_only_if_every_rule_allows(shop: Shop, later: str, outcome: PaymentOutcome) -> None:
    campaign = await shop.campaign(target_count=2, take_limit=2 if later == "seat" else 1, stock=2 if later == "stock" else 10)
    members = await shop.team(campaign, paid=1, locked=1)
    late = members[1]
    await shop.release(late)
    user = late.request.user_id
    if later == "full":
        await shop.lock(shop.joiner(late), OVERDUE)
    if later in {"limit", "stock"}:
        await shop.lock(shop.opener(campaign, user=user if later == "limit" else ""), OVERDUE)
    if later == "seat":
        await shop.lock(shop.joiner(late, user=user), OVERDUE)
        await shop.execute("UPDATE teams SET target_count = 3 WHERE team_id = $1", late.team_id)
    if later == "blocked":
        await shop.block()
    before = await shop.live_of(campaign, user)

    amount = Decimal("1.00") if later == "amount" else PAY_PRICE
    settled = await shop.settle(late, amount, DEADLINE if later == "deadline" else OVERDUE)

    assert settled.outcome is outcome
    row = await shop.order_row(late)
    if outcome is PaymentOutcome.RESEATED:
        assert (row["status"], row["live"], row["cancel_reason"]) == ("paid", True, None)
        assert settled.team.status is TeamStatus.COMPLETED  # it was the last missing member
        assert await shop.live_of(campaign, user) == before + 1
        assert await shop.event_types(late) == ["order.cancelled", "order.reseated", "team.completed"]
        assert (await shop.settle(late)).repeated
    else:
        assert (row["status"], row["live"], settled.reason) == ("refunding", False, "late_payment")
        assert await shop.live_of(campaign, user) == before


@pytest.mark.parametrize("reason", ["buyer", "operator", "team_failed", "team_completed"])
async def test_a_late_payment_is_reseated_only_after_a_lock_timeout(shop: Shop, reason: str) -> None:
    members = await shop.team(await shop.campaign(target_count=5), paid=1, locked=1)
    member = members[1]
    match reason:
        case "buyer" | "operator":
            await shop.refund(member, operator="ann" if reason == "operator" else "")
        case "team_failed":
            await shop.conclude(member, TeamDecision.CLOSE)
        case "team_completed":
            await shop.conclude(member, TeamDecision.COMPLETE)
    assert (await shop.order_row(member))["cancel_reason"] == reason
    assert (await shop.settle(member)).reason == "late_payment"


# --- repeated steps, and attention ---


async def test_every_step_is_idempotent(shop: Shop) -> None:
    member = await requested_in_completed(shop)
    close = RefundAction.CLOSE_MANUALLY
    change = ChangeRefund(order_id=member.order_id, attempt=1, now=NOW, action=close, act=act_of())
    assert not (await finish_refund(shop.database, change)).is_over  # not finished before it is released
    assert not (await release_refund(shop.database, change)).released  # not released before the answer
    released = [await shop.answer(member, MallAnswer.AGREED) for _ in range(3)]
    assert {answer.team_status for answer in released} == {TeamStatus.COMPLETED_WITH_REFUNDS}
    finished = [await finish_refund(shop.database, change) for _ in range(3)]
    assert {answer.status for answer in finished} == {DONE}
    assert (await shop.event_types(member)).count("order.refunded") == 1


async def test_a_flagged_refund_is_resumed(shop: Shop) -> None:
    member = await requested_in_completed(shop)
    await shop.execute("UPDATE deliveries SET status = 'dead', attempts = 9, finished_at = since")
    change = ChangeRefund(order_id=member.order_id, attempt=1, now=NOW)
    assert (await flag_refund(shop.database, change)).status is RefundStatus.ATTENTION
    assert (await shop.refund(member)).status is RefundStatus.ATTENTION
    assert (await resume_refund(shop.database, change)).status is AWAITING
    sql = "SELECT d.status, d.attempts FROM deliveries d JOIN events e USING (event_id) WHERE e.type = $1"
    assert [tuple(row) for row in await shop.rows(sql, "order.refund_requested")] == [("pending", 0)]
    assert [tuple(row) for row in await shop.rows(sql, "team.completed")] == [("dead", 9)]


async def test_a_request_that_names_an_attempt_gets_that_attempt(shop: Shop) -> None:
    member = await requested_in_completed(shop)
    await shop.answer(member, MallAnswer.VETOED)
    await shop.refund(member)
    assert [(await shop.refund(member, attempt=number)).attempt for number in (1, 2)] == [1, 2]
    assert (await shop.refund(member, attempt=1)).status is RefundStatus.REJECTED


DEAD = "UPDATE deliveries SET status = 'dead', attempts = 9, finished_at = since"
CANCELLED = "SELECT d.status, d.attempts FROM deliveries d JOIN events e USING (event_id) WHERE e.type = 'order.cancelled'"


async def cancelled_with_dead_callback(shop: Shop) -> Member:
    """An unpaid order that is refunded, with a dead order.cancelled callback."""
    _, member = await shop.team(await shop.campaign(), paid=1, locked=1, callback=SHOP_ADDRESS)
    await shop.refund(member)
    await shop.execute(DEAD)
    return member


async def test_an_unpaid_refund_with_a_dead_callback_needs_attention(shop: Shop) -> None:
    member = await cancelled_with_dead_callback(shop)
    [attention] = await list_attention(shop.database, None, 9)
    assert (attention.kind, attention.subject) == ("refund", member.order_id)
    assert attention.workflow is not None
    assert attention.workflow.id == f"refund-{member.order_id}-1"
    [in_progress] = await refunds_in_progress(shop.database, member.order_id) or []
    assert (in_progress.out_trade_no, in_progress.attempt) == (member.number, 1)
    change = ChangeRefund(order_id=member.order_id, attempt=1, now=NOW)
    assert (await flag_refund(shop.database, change)).status is DONE
    assert (await resume_refund(shop.database, change)).status is DONE
    assert [tuple(row) for row in await shop.rows(CANCELLED)] == [("pending", 0)]
    assert await list_attention(shop.database, None, 9) == []
    assert await refunds_in_progress(shop.database, member.order_id) == [in_progress]
    [delivery] = await pending_deliveries(shop.database, [event_id(EventType.ORDER_CANCELLED, member.order_id)])
    await record_attempt(shop.database, delivery, Attempt(NOW, 1, 200, None, "delivered", NOW))
    assert await refunds_in_progress(shop.database, member.order_id) == []


async def test_an_unpaid_refund_closed_manually_needs_no_attention(shop: Shop) -> None:
    member = await cancelled_with_dead_callback(shop)
    await shop.settle(member)  # a payment arrives, which is another refund
    await shop.finish(member, attempt=2)
    [in_progress] = await refunds_in_progress(shop.database, member.order_id) or []
    assert in_progress.attempt == 1
    assert (await shop.finish(member)).note == "told outside the platform"
    assert await list_attention(shop.database, None, 9) == []
    assert await refunds_in_progress(shop.database, member.order_id) == []
    assert [tuple(row) for row in await shop.rows(CANCELLED)] == [("closed", 9)]


async def test_the_paid_orders_of_a_failed_team_are_found_in_slices(shop: Shop) -> None:
    members = await shop.team(await shop.campaign(target_count=9), paid=5, locked=1)
    await shop.conclude(members[0], TeamDecision.CLOSE)
    await shop.refund(members[2])
    expected = sorted(member.number for member in members[:5] if member is not members[2])
    first = await owed_by_team(shop.database, members[0].team_id, "", 3)
    rest = await owed_by_team(shop.database, members[0].team_id, first[-1].out_trade_no, 3)
    assert [refund.out_trade_no for refund in first + rest] == expected
    assert (len(first), {refund.attempt for refund in first + rest}) == (3, {1})
