"""The states of teams and orders, and what each of them means for a seat (design.md section 5)."""

from enum import StrEnum
from typing import NamedTuple


class OrderStatus(StrEnum):
    LOCKED = "locked"
    PAID = "paid"
    REFUNDING = "refunding"
    REFUNDED = "refunded"
    CANCELLED = "cancelled"


class CancelReason(StrEnum):
    LOCK_TIMEOUT = "lock_timeout"
    BUYER = "buyer"
    OPERATOR = "operator"
    TEAM_FAILED = "team_failed"
    TEAM_COMPLETED = "team_completed"
    """completed by min_count or by an operator, without this unpaid seat"""


class TeamStatus(StrEnum):
    FORMING = "forming"
    COMPLETED = "completed"
    COMPLETED_WITH_REFUNDS = "completed_with_refunds"
    FAILED = "failed"


class Completion(StrEnum):
    """How a team became complete."""

    TARGET = "target"
    MIN_COUNT = "min_count"
    OPERATOR = "operator"


class FailReason(StrEnum):
    EXPIRED = "expired"
    CLOSED = "closed"
    ABANDONED = "abandoned"
    """its last member left"""


class PaymentOutcome(StrEnum):
    SETTLED = "settled"
    RESEATED = "reseated"
    REFUNDING = "refunding"


class PaymentReason(StrEnum):
    """Why a payment goes back."""

    LATE_PAYMENT = "late_payment"
    AMOUNT_MISMATCH = "amount_mismatch"


class PaymentDecision(NamedTuple):
    outcome: PaymentOutcome
    reason: PaymentReason | None = None


def decide_payment(order: OrderStatus, *, amount_is_right: bool) -> PaymentDecision:
    """What the first payment reported for an order leads to: the payment decision table of design.md section 5.

    A locked order's team is forming: whatever ends a team ends its locked orders in the same transaction. `paid_at` is no
    input, since the seat of a locked order is still held.

    Args:
        order: the order's status; never `paid`, `refunding` or `refunded`, which have a payment already.
        amount_is_right: whether exactly the order's pay_price was paid.
    """
    if order is not OrderStatus.LOCKED:
        return PaymentDecision(PaymentOutcome.REFUNDING, PaymentReason.LATE_PAYMENT)
    if not amount_is_right:
        return PaymentDecision(PaymentOutcome.REFUNDING, PaymentReason.AMOUNT_MISMATCH)
    return PaymentDecision(PaymentOutcome.SETTLED)


class Conclusion(NamedTuple):
    """How a forming team ends."""

    status: TeamStatus
    how: Completion | FailReason


class Ending(StrEnum):
    """What asks a forming team to end."""

    DEADLINE = "deadline"
    COMPLETE = "complete"
    """an operator: complete it with who has paid"""
    CLOSE = "close"
    """an operator: it fails now"""


def conclude(ending: Ending, *, paid: int, min_count: int | None) -> Conclusion | None:
    """How a forming team ends when it is asked to; None when it may not (nobody has paid, so nobody can be completed)."""
    match ending:
        case Ending.CLOSE:
            return Conclusion(TeamStatus.FAILED, FailReason.CLOSED)
        case Ending.COMPLETE:
            return Conclusion(TeamStatus.COMPLETED, Completion.OPERATOR) if paid > 0 else None
        case Ending.DEADLINE:
            if min_count is not None and paid >= min_count:
                return Conclusion(TeamStatus.COMPLETED, Completion.MIN_COUNT)
            return Conclusion(TeamStatus.FAILED, FailReason.EXPIRED)
