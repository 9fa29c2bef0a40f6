"""The decision tables of design.md section 5, pair by pair."""

import pytest

from domain.states import (
    Completion,
    Conclusion,
    Ending,
    FailReason,
    OrderStatus,
    PaymentDecision,
    PaymentOutcome,
    PaymentReason,
    TeamStatus,
    conclude,
    decide_payment,
)

SETTLED = PaymentDecision(PaymentOutcome.SETTLED)
LATE = PaymentDecision(PaymentOutcome.REFUNDING, PaymentReason.LATE_PAYMENT)
MISMATCH = PaymentDecision(PaymentOutcome.REFUNDING, PaymentReason.AMOUNT_MISMATCH)


@pytest.mark.parametrize(
    ("order", "amount_is_right", "decision"),
    [
        (OrderStatus.LOCKED, True, SETTLED),
        (OrderStatus.LOCKED, False, MISMATCH),
        (OrderStatus.CANCELLED, True, LATE),
        (OrderStatus.CANCELLED, False, LATE),
    ],
)
def test_the_first_payment_of_an_order(order: OrderStatus, amount_is_right: bool, decision: PaymentDecision) -> None:
    assert decide_payment(order, amount_is_right=amount_is_right, mall_is_blocked=False) == decision


EXPIRED = Conclusion(TeamStatus.FAILED, FailReason.EXPIRED)
CLOSED = Conclusion(TeamStatus.FAILED, FailReason.CLOSED)
BY_OPERATOR = Conclusion(TeamStatus.COMPLETED, Completion.OPERATOR)
BY_MIN_COUNT = Conclusion(TeamStatus.COMPLETED, Completion.MIN_COUNT)


@pytest.mark.parametrize(
    ("ending", "paid", "min_count", "conclusion"),
    [
        (Ending.CLOSE, 0, None, CLOSED),
        (Ending.CLOSE, 2, 1, CLOSED),
        (Ending.COMPLETE, 0, None, None),
        (Ending.COMPLETE, 0, 1, None),
        (Ending.COMPLETE, 1, None, BY_OPERATOR),
        (Ending.COMPLETE, 1, 2, BY_OPERATOR),
        (Ending.DEADLINE, 0, None, EXPIRED),
        (Ending.DEADLINE, 2, None, EXPIRED),
        (Ending.DEADLINE, 0, 1, EXPIRED),
        (Ending.DEADLINE, 1, 2, EXPIRED),
        (Ending.DEADLINE, 2, 2, BY_MIN_COUNT),
        (Ending.DEADLINE, 3, 2, BY_MIN_COUNT),
    ],
)
def test_how_a_forming_team_ends(ending: Ending, paid: int, min_count: int | None, conclusion: Conclusion | None) -> None:
    assert conclude(ending, paid=paid, min_count=min_count) == conclusion


def test_the_words_are_the_designs() -> None:
    assert {*OrderStatus} == {"locked", "paid", "refunding", "refunded", "cancelled"}
    assert {*TeamStatus} == {"forming", "completed", "completed_with_refunds", "failed"}
    assert {*FailReason} == {"expired", "closed", "abandoned"}
    assert {*Completion} == {"target", "min_count", "operator"}
    assert {*PaymentOutcome} == {"settled", "reseated", "refunding"}
