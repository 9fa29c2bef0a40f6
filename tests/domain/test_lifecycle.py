"""The decision tables of docs/rules.md, pair by pair."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product

import pytest

from domain.errors import ErrorCode
from domain.lifecycle import (
    CancelReason,
    Completion,
    Conclusion,
    FailReason,
    OrderStatus,
    PaymentDecision,
    PaymentFacts,
    PaymentOutcome,
    PaymentReason,
    RefundKind,
    RefundStatus,
    RefundStep,
    RefundWindow,
    TeamDecision,
    TeamStatus,
    completes_team,
    conclude,
    decide_payment,
    decide_refund,
    may_be_reseated,
    other_amount_refusal,
)

# --- payments ---

SETTLED = PaymentDecision(PaymentOutcome.SETTLED)
RESEATED = PaymentDecision(PaymentOutcome.RESEATED)
LATE = PaymentDecision(PaymentOutcome.REFUNDING, PaymentReason.LATE_PAYMENT)
MISMATCH = PaymentDecision(PaymentOutcome.REFUNDING, PaymentReason.AMOUNT_MISMATCH)
BLOCKED = PaymentDecision(PaymentOutcome.REFUNDING, PaymentReason.MALL_BLOCKED)

PAY_PRICE = Decimal("80.00")
AMOUNTS = [PAY_PRICE, Decimal("79.99"), Decimal("80.01"), Decimal("0.01"), Decimal("100.00")]
REASONS: list[CancelReason | None] = [None, *CancelReason]


def facts(
    order: OrderStatus, amount: Decimal = PAY_PRICE, *, blocked: bool = False, reason: CancelReason | None = None
) -> PaymentFacts:
    return PaymentFacts(order, reason, paid=amount, pay_price=PAY_PRICE, is_blocked=blocked)


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("blocked", [False, True])
def test_the_payment_of_a_locked_order(amount: Decimal, blocked: bool) -> None:
    expected = MISMATCH if amount != PAY_PRICE else BLOCKED if blocked else SETTLED
    assert decide_payment(facts(OrderStatus.LOCKED, amount, blocked=blocked)) == expected


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("reason", CancelReason)
def test_the_payment_of_a_cancelled_order_is_late_unless_it_is_reseated(
    amount: Decimal, blocked: bool, reason: CancelReason
) -> None:
    payment = facts(OrderStatus.CANCELLED, amount, blocked=blocked, reason=reason)
    assert decide_payment(payment) == LATE
    if may_be_reseated(payment):
        assert decide_payment(payment, is_reseated=True) == RESEATED


@pytest.mark.parametrize(("order", "reason"), [*product(OrderStatus, REASONS)])
def test_only_a_timed_out_order_whose_exact_price_was_paid_in_an_open_channel_may_be_reseated(
    order: OrderStatus, reason: CancelReason | None
) -> None:
    timed_out = (order, reason) == (OrderStatus.CANCELLED, CancelReason.LOCK_TIMEOUT)
    allowed = {
        (amount, blocked)
        for amount, blocked in product(AMOUNTS, (True, False))
        if may_be_reseated(facts(order, amount, blocked=blocked, reason=reason))
    }
    assert allowed == ({(PAY_PRICE, False)} if timed_out else set())


def test_another_amount_under_the_same_number_is_refused() -> None:
    refusal = other_amount_refusal("n1", PAY_PRICE, Decimal("79.99"))
    assert (refusal.code, "80.00" in refusal.detail, "79.99" in refusal.detail) == (ErrorCode.OUT_TRADE_NO_REUSED, True, True)


# --- refunds ---

CANCEL, RETURN, ASK, NO_CHANGE = RefundStep.CANCEL, RefundStep.RETURN, RefundStep.ASK, RefundStep.NO_CHANGE
LOCKED, PAID = OrderStatus.LOCKED, OrderStatus.PAID
REFUNDING, REFUNDED, CANCELLED = OrderStatus.REFUNDING, OrderStatus.REFUNDED, OrderStatus.CANCELLED
FORMING, COMPLETED, FAILED = TeamStatus.FORMING, TeamStatus.COMPLETED, TeamStatus.FAILED
WITH_REFUNDS = TeamStatus.COMPLETED_WITH_REFUNDS

# Within the refund window, or where an operator overrides it.
REFUNDS = {
    (FORMING, LOCKED): CANCEL,
    (FORMING, PAID): RETURN,
    (FORMING, REFUNDING): NO_CHANGE,
    (FORMING, REFUNDED): NO_CHANGE,
    (FORMING, CANCELLED): NO_CHANGE,
    (COMPLETED, LOCKED): CANCEL,
    (COMPLETED, PAID): ASK,
    (COMPLETED, REFUNDING): NO_CHANGE,
    (COMPLETED, REFUNDED): NO_CHANGE,
    (COMPLETED, CANCELLED): NO_CHANGE,
    (WITH_REFUNDS, LOCKED): CANCEL,
    (WITH_REFUNDS, PAID): ASK,
    (WITH_REFUNDS, REFUNDING): NO_CHANGE,
    (WITH_REFUNDS, REFUNDED): NO_CHANGE,
    (WITH_REFUNDS, CANCELLED): NO_CHANGE,
    (FAILED, LOCKED): CANCEL,
    (FAILED, PAID): RETURN,
    (FAILED, REFUNDING): NO_CHANGE,
    (FAILED, REFUNDED): NO_CHANGE,
    (FAILED, CANCELLED): NO_CHANGE,
}
WINDOW_OVER = {(COMPLETED, PAID): RefundStep.REFUSE, (WITH_REFUNDS, PAID): RefundStep.REFUSE}


@pytest.mark.parametrize(("team", "order"), [*product(TeamStatus, OrderStatus)])
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("in_window", [False, True])
def test_every_pair_of_team_and_order_has_its_refund(
    team: TeamStatus, order: OrderStatus, in_window: bool, force: bool
) -> None:
    table = REFUNDS if in_window or force else REFUNDS | WINDOW_OVER
    assert decide_refund(order, team, in_window=in_window, force=force) is table[team, order]


COMPLETED_AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)


@pytest.mark.parametrize("seconds", [0, 1, 604800])
def test_the_refund_window_is_open_from_the_completion_up_to_its_end(seconds: int) -> None:
    window = RefundWindow(COMPLETED_AT, seconds)
    end = COMPLETED_AT + timedelta(seconds=seconds)

    assert window.end == end
    assert window.is_open(end - INSTANT)
    assert not window.is_open(end)
    assert f"{end:%Y-%m-%d %H:%M:%S} UTC" in window.refusal().detail


def test_a_team_that_was_never_completed_has_no_refund_window() -> None:
    window = RefundWindow(None, 604800)

    assert window.end is None
    assert not window.is_open(COMPLETED_AT)
    assert window.refusal().code is ErrorCode.REFUND_WINDOW_CLOSED


# --- how a team ends ---

EXPIRED = Conclusion(TeamStatus.FAILED, FailReason.EXPIRED)
CLOSED = Conclusion(TeamStatus.FAILED, FailReason.CLOSED)
BY_OPERATOR = Conclusion(TeamStatus.COMPLETED, Completion.OPERATOR)
BY_MIN_COUNT = Conclusion(TeamStatus.COMPLETED, Completion.MIN_COUNT)


@pytest.mark.parametrize(
    ("decision", "paid", "min_count", "expected"),
    [
        (TeamDecision.CLOSE, 0, None, CLOSED),
        (TeamDecision.CLOSE, 2, 1, CLOSED),
        (TeamDecision.COMPLETE, 0, None, None),
        (TeamDecision.COMPLETE, 0, 1, None),
        (TeamDecision.COMPLETE, 1, None, BY_OPERATOR),
        (TeamDecision.COMPLETE, 1, 2, BY_OPERATOR),
        (TeamDecision.DEADLINE, 0, None, EXPIRED),
        (TeamDecision.DEADLINE, 2, None, EXPIRED),
        (TeamDecision.DEADLINE, 0, 1, EXPIRED),
        (TeamDecision.DEADLINE, 1, 2, EXPIRED),
        (TeamDecision.DEADLINE, 2, 2, BY_MIN_COUNT),
        (TeamDecision.DEADLINE, 3, 2, BY_MIN_COUNT),
    ],
)
def test_how_a_forming_team_ends(decision: TeamDecision, paid: int, min_count: int | None, expected: Conclusion | None) -> None:
    assert conclude(decision, paid=paid, min_count=min_count) == expected


@pytest.mark.parametrize(("paid", "completes"), [(1, False), (2, False), (3, True)])
def test_only_the_payment_of_the_last_member_completes_a_team(paid: int, completes: bool) -> None:
    assert completes_team(paid, target_count=3) is completes


# --- words ---


def test_the_public_words_of_states_and_reasons() -> None:
    assert {*OrderStatus} == {"locked", "paid", "refunding", "refunded", "cancelled"}
    assert {*TeamStatus} == {"forming", "completed", "completed_with_refunds", "failed"}
    assert {*FailReason} == {"expired", "closed", "abandoned"}
    assert {*Completion} == {"target", "min_count", "operator"}
    assert {*PaymentOutcome} == {"settled", "reseated", "refunding"}
    assert {*CancelReason} == {"lock_timeout", "buyer", "operator", "team_failed", "team_completed"}
    assert {*PaymentReason} == {"late_payment", "amount_mismatch", "mall_blocked"}
    assert {*RefundKind} == {"unpaid", "paid_unformed", "paid_formed", "unsettled"}
    assert {*RefundStatus} == {"requested", "awaiting_mall", "done", "rejected", "attention"}
