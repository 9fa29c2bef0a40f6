"""The decision tables of design.md section 5, pair by pair."""

from itertools import product

import pytest

from domain.lifecycle import (
    CancelReason,
    Completion,
    Conclusion,
    FailReason,
    OrderStatus,
    PaymentDecision,
    PaymentOutcome,
    PaymentReason,
    RefundKind,
    RefundStatus,
    RefundStep,
    TeamDecision,
    TeamStatus,
    conclude,
    decide_payment,
    decide_refund,
    may_be_reseated,
)

# --- payments ---

SETTLED = PaymentDecision(PaymentOutcome.SETTLED)
RESEATED = PaymentDecision(PaymentOutcome.RESEATED)
LATE = PaymentDecision(PaymentOutcome.REFUNDING, PaymentReason.LATE_PAYMENT)
MISMATCH = PaymentDecision(PaymentOutcome.REFUNDING, PaymentReason.AMOUNT_MISMATCH)
BLOCKED = PaymentDecision(PaymentOutcome.REFUNDING, PaymentReason.MALL_BLOCKED)


@pytest.mark.parametrize(
    ("order", "amount_is_right", "mall_is_blocked", "decision"),
    [
        (OrderStatus.LOCKED, True, False, SETTLED),
        (OrderStatus.LOCKED, True, True, BLOCKED),
        (OrderStatus.LOCKED, False, False, MISMATCH),
        (OrderStatus.LOCKED, False, True, MISMATCH),
        (OrderStatus.CANCELLED, True, False, LATE),
        (OrderStatus.CANCELLED, True, True, LATE),
        (OrderStatus.CANCELLED, False, False, LATE),
        (OrderStatus.CANCELLED, False, True, LATE),
    ],
)
def test_the_first_payment_of_an_order(
    order: OrderStatus, amount_is_right: bool, mall_is_blocked: bool, decision: PaymentDecision
) -> None:
    assert decide_payment(order, amount_is_right=amount_is_right, mall_is_blocked=mall_is_blocked) == decision


def test_a_late_payment_whose_seat_is_back_is_reseated() -> None:
    back = decide_payment(OrderStatus.CANCELLED, amount_is_right=True, mall_is_blocked=False, seat_is_back=True)
    assert back == RESEATED


REASONS: list[CancelReason | None] = [None, *CancelReason]


@pytest.mark.parametrize(("order", "reason"), [*product(OrderStatus, REASONS)])
def test_only_who_timed_out_and_paid_what_is_due_where_trade_is_allowed_may_be_reseated(
    order: OrderStatus, reason: CancelReason | None
) -> None:
    timed_out = (order, reason) == (OrderStatus.CANCELLED, CancelReason.LOCK_TIMEOUT)
    allowed = {
        (right, blocked)
        for right, blocked in product((True, False), repeat=2)
        if may_be_reseated(order, reason, amount_is_right=right, mall_is_blocked=blocked)
    }
    assert allowed == ({(True, False)} if timed_out else set())


# --- refunds ---

CANCEL, RETURN, ASK, AS_IT_IS = RefundStep.CANCEL, RefundStep.RETURN, RefundStep.ASK, RefundStep.AS_IT_IS
LOCKED, PAID = OrderStatus.LOCKED, OrderStatus.PAID
REFUNDING, REFUNDED, CANCELLED = OrderStatus.REFUNDING, OrderStatus.REFUNDED, OrderStatus.CANCELLED
FORMING, COMPLETED, FAILED = TeamStatus.FORMING, TeamStatus.COMPLETED, TeamStatus.FAILED
WITH_REFUNDS = TeamStatus.COMPLETED_WITH_REFUNDS

# What happens inside the refund window, or when an operator sets it aside.
REFUNDS = {
    (FORMING, LOCKED): CANCEL,
    (FORMING, PAID): RETURN,
    (FORMING, REFUNDING): AS_IT_IS,
    (FORMING, REFUNDED): AS_IT_IS,
    (FORMING, CANCELLED): AS_IT_IS,
    (COMPLETED, LOCKED): CANCEL,
    (COMPLETED, PAID): ASK,
    (COMPLETED, REFUNDING): AS_IT_IS,
    (COMPLETED, REFUNDED): AS_IT_IS,
    (COMPLETED, CANCELLED): AS_IT_IS,
    (WITH_REFUNDS, LOCKED): CANCEL,
    (WITH_REFUNDS, PAID): ASK,
    (WITH_REFUNDS, REFUNDING): AS_IT_IS,
    (WITH_REFUNDS, REFUNDED): AS_IT_IS,
    (WITH_REFUNDS, CANCELLED): AS_IT_IS,
    (FAILED, LOCKED): CANCEL,
    (FAILED, PAID): RETURN,
    (FAILED, REFUNDING): AS_IT_IS,
    (FAILED, REFUNDED): AS_IT_IS,
    (FAILED, CANCELLED): AS_IT_IS,
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


# --- how a team ends ---

EXPIRED = Conclusion(TeamStatus.FAILED, FailReason.EXPIRED)
CLOSED = Conclusion(TeamStatus.FAILED, FailReason.CLOSED)
BY_OPERATOR = Conclusion(TeamStatus.COMPLETED, Completion.OPERATOR)
BY_MIN_COUNT = Conclusion(TeamStatus.COMPLETED, Completion.MIN_COUNT)


@pytest.mark.parametrize(
    ("ending", "paid", "min_count", "conclusion"),
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
def test_how_a_forming_team_ends(ending: TeamDecision, paid: int, min_count: int | None, conclusion: Conclusion | None) -> None:
    assert conclude(ending, paid=paid, min_count=min_count) == conclusion


# --- words ---


def test_the_words_are_the_designs() -> None:
    assert {*OrderStatus} == {"locked", "paid", "refunding", "refunded", "cancelled"}
    assert {*TeamStatus} == {"forming", "completed", "completed_with_refunds", "failed"}
    assert {*FailReason} == {"expired", "closed", "abandoned"}
    assert {*Completion} == {"target", "min_count", "operator"}
    assert {*PaymentOutcome} == {"settled", "reseated", "refunding"}
    assert {*CancelReason} == {"lock_timeout", "buyer", "operator", "team_failed", "team_completed"}
    assert {*PaymentReason} == {"late_payment", "amount_mismatch", "mall_blocked"}
    assert {*RefundKind} == {"unpaid", "paid_unformed", "paid_formed", "unsettled"}
    assert {*RefundStatus} == {"requested", "awaiting_mall", "done", "rejected", "attention"}
