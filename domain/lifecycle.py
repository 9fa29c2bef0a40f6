"""The states of teams, orders and refunds, and the tables that decide what follows from them (design.md section 5)."""

from enum import StrEnum
from typing import NamedTuple

from domain.errors import ErrorCode, Refusal


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
    MALL_BLOCKED = "mall_blocked"


class PaymentDecision(NamedTuple):
    outcome: PaymentOutcome
    reason: PaymentReason | None = None


def decide_payment(
    order: OrderStatus, *, amount_is_right: bool, mall_is_blocked: bool, seat_is_back: bool = False
) -> PaymentDecision:
    """What the first payment reported for an order leads to: the payment decision table of design.md section 5.

    A locked order's team is forming: whatever ends a team ends its locked orders in the same transaction. `paid_at` is no
    input, since the seat of a locked order is still held.

    Args:
        order: the order's status; never `paid`, `refunding` or `refunded`, which have a payment already.
        amount_is_right: whether exactly the order's pay_price was paid.
        mall_is_blocked: whether the order's source and channel may not trade now.
        seat_is_back: whether a seat that had timed out could be taken again in this transaction.
    """
    if order is not OrderStatus.LOCKED:
        if seat_is_back:
            return PaymentDecision(PaymentOutcome.RESEATED)
        return PaymentDecision(PaymentOutcome.REFUNDING, PaymentReason.LATE_PAYMENT)
    if not amount_is_right:
        return PaymentDecision(PaymentOutcome.REFUNDING, PaymentReason.AMOUNT_MISMATCH)
    if mall_is_blocked:
        return PaymentDecision(PaymentOutcome.REFUNDING, PaymentReason.MALL_BLOCKED)
    return PaymentDecision(PaymentOutcome.SETTLED)


def may_be_reseated(
    order: OrderStatus, cancel_reason: CancelReason | None, *, amount_is_right: bool, mall_is_blocked: bool
) -> bool:
    """Whether a late payer gets a seat again if one is free. Only who lost it by being late: others chose to leave."""
    timed_out = order is OrderStatus.CANCELLED and cancel_reason is CancelReason.LOCK_TIMEOUT
    return timed_out and amount_is_right and not mall_is_blocked


class RefundKind(StrEnum):
    UNPAID = "unpaid"
    """the seat is given up, there was no money"""
    PAID_UNFORMED = "paid_unformed"
    """paid in a team that is not complete: the seat goes free at once"""
    PAID_FORMED = "paid_formed"
    """paid in a team that is complete: the mall is asked, and the seat is not sold again"""
    UNSETTLED = "unsettled"
    """money that came for an order that could not be settled"""


class RefundStatus(StrEnum):
    REQUESTED = "requested"
    """in the rows; its workflow has not begun"""
    AWAITING_MALL = "awaiting_mall"
    """the mall is being asked, or told"""
    DONE = "done"
    REJECTED = "rejected"
    """the mall said no"""
    ATTENTION = "attention"
    """the mall did not answer: waits for an operator"""


class MallAnswer(StrEnum):
    """A mall's answer to the question whether a member of a completed team may leave."""

    AGREED = "agreed"
    VETOED = "vetoed"


class RefundStep(StrEnum):
    """What a request to undo an order leads to."""

    CANCEL = "cancel"
    RETURN = "return"
    ASK = "ask"
    REFUSE = "refuse"
    """refund_window_closed"""
    AS_IT_IS = "as_it_is"
    """undone already, or being undone: that is the answer"""


def decide_refund(order: OrderStatus, team: TeamStatus, *, in_window: bool, force: bool) -> RefundStep:
    """The refund decision table of design.md section 5: every pair of team and order has an answer.

    Args:
        order: the order's status.
        team: its team's status.
        in_window: whether the refund window of a completed team is still open at the request.
        force: whether an operator sets the window aside.
    """
    match order:
        case OrderStatus.LOCKED:
            return RefundStep.CANCEL
        case OrderStatus.PAID if team in {TeamStatus.FORMING, TeamStatus.FAILED}:
            return RefundStep.RETURN
        case OrderStatus.PAID:
            return RefundStep.ASK if in_window or force else RefundStep.REFUSE
        case OrderStatus.REFUNDING | OrderStatus.REFUNDED | OrderStatus.CANCELLED:
            return RefundStep.AS_IT_IS


class Conclusion(NamedTuple):
    """How a forming team ends."""

    status: TeamStatus
    how: Completion | FailReason


class TeamDecision(StrEnum):
    """What asks a forming team to end."""

    DEADLINE = "deadline"
    COMPLETE = "complete"
    """an operator: complete it with who has paid"""
    CLOSE = "close"
    """an operator: it fails now"""


def conclude(ending: TeamDecision, *, paid: int, min_count: int | None) -> Conclusion | None:
    """How a forming team ends when it is asked to; None when it may not (nobody has paid, so nobody can be completed)."""
    match ending:
        case TeamDecision.CLOSE:
            return Conclusion(TeamStatus.FAILED, FailReason.CLOSED)
        case TeamDecision.COMPLETE:
            return Conclusion(TeamStatus.COMPLETED, Completion.OPERATOR) if paid > 0 else None
        case TeamDecision.DEADLINE:
            if min_count is not None and paid >= min_count:
                return Conclusion(TeamStatus.COMPLETED, Completion.MIN_COUNT)
            return Conclusion(TeamStatus.FAILED, FailReason.EXPIRED)


class CampaignStatus(StrEnum):
    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    """no new seats"""
    DRAINING = "draining"
    """no new teams, running ones finish"""
    ENDED = "ended"


def require_transition(before: CampaignStatus, after: CampaignStatus) -> None:
    """Raises Refusal when a campaign may not go from one status to the other.

    Nobody leaves `ended`: its buyers may have been told so. Back to `draft` is as good as paused.
    """
    if before is CampaignStatus.ENDED and after is not CampaignStatus.ENDED:
        raise Refusal(ErrorCode.CAMPAIGN_CONFLICT, f"A campaign that is {before} cannot become {after}.")
