"""The states of campaigns, teams, orders and refunds, and the decision tables between them.

docs/rules.md has the tables in words. Every decision is a total function: each combination of states has an answer.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
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
    """the team was completed by min_count or by an operator, without this unpaid seat"""


class TeamStatus(StrEnum):
    FORMING = "forming"
    COMPLETED = "completed"
    COMPLETED_WITH_REFUNDS = "completed_with_refunds"
    FAILED = "failed"


class Completion(StrEnum):
    """How a team was completed."""

    TARGET = "target"
    MIN_COUNT = "min_count"
    OPERATOR = "operator"


class FailReason(StrEnum):
    EXPIRED = "expired"
    CLOSED = "closed"
    ABANDONED = "abandoned"
    """its last member left"""


class CampaignStatus(StrEnum):
    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    """no new seats"""
    DRAINING = "draining"
    """no new teams; running ones finish"""
    ENDED = "ended"


# --- payments ---


class PaymentOutcome(StrEnum):
    SETTLED = "settled"
    RESEATED = "reseated"
    REFUNDING = "refunding"


class PaymentReason(StrEnum):
    """Why a payment is returned."""

    LATE_PAYMENT = "late_payment"
    AMOUNT_MISMATCH = "amount_mismatch"
    MALL_BLOCKED = "mall_blocked"


class PaymentDecision(NamedTuple):
    outcome: PaymentOutcome
    reason: PaymentReason | None = None


@dataclass(frozen=True, slots=True)
class PaymentFacts:
    """The input of the payment decision: an order without a payment, and the first payment reported for it.

    `paid_at` is no part of it: a locked order still holds its seat, however late the report.
    """

    order: OrderStatus
    """locked or cancelled; an order of any other status has its payment"""
    cancel_reason: CancelReason | None
    paid: Decimal
    pay_price: Decimal
    is_blocked: bool
    """the switch `blocked` names the order's source and channel"""

    @property
    def is_right_amount(self) -> bool:
        """Only the exact price settles an order: neither less nor more."""
        return self.paid == self.pay_price


def may_be_reseated(payment: PaymentFacts) -> bool:
    """Whether a late payment takes a seat again, if one is free: only where the seat was lost by a timeout."""
    timed_out = payment.order is OrderStatus.CANCELLED and payment.cancel_reason is CancelReason.LOCK_TIMEOUT
    return timed_out and payment.is_right_amount and not payment.is_blocked


def decide_payment(payment: PaymentFacts, *, is_reseated: bool = False) -> PaymentDecision:
    """Returns what the first payment reported for an order leads to.

    A locked order's team is forming, so the team's status is no input: whatever completes or fails a team cancels its locked
    orders in the same transaction.

    Args:
        payment: the order and its payment.
        is_reseated: whether this transaction has taken a seat again, after `may_be_reseated`.
    """
    if payment.order is not OrderStatus.LOCKED:
        if is_reseated:
            return PaymentDecision(PaymentOutcome.RESEATED)
        return PaymentDecision(PaymentOutcome.REFUNDING, PaymentReason.LATE_PAYMENT)
    if not payment.is_right_amount:
        return PaymentDecision(PaymentOutcome.REFUNDING, PaymentReason.AMOUNT_MISMATCH)
    if payment.is_blocked:
        return PaymentDecision(PaymentOutcome.REFUNDING, PaymentReason.MALL_BLOCKED)
    return PaymentDecision(PaymentOutcome.SETTLED)


def other_amount_refusal(out_trade_no: str, first: Decimal, reported: Decimal) -> Refusal:
    """Returns the refusal of a payment report with another amount than the first one: an order has one payment."""
    return Refusal(
        ErrorCode.OUT_TRADE_NO_REUSED,
        f"{first} was reported for {out_trade_no} before, not {reported}; an operator will check it.",
    )


# --- refunds ---


class RefundKind(StrEnum):
    UNPAID = "unpaid"
    """an unpaid order is cancelled"""
    PAID_UNFORMED = "paid_unformed"
    """paid in a team that is not complete: the seat is released at once"""
    PAID_FORMED = "paid_formed"
    """paid in a completed team: the mall is asked, and the seat is not sold again"""
    UNSETTLED = "unsettled"
    """a payment that could not be settled"""


class RefundStatus(StrEnum):
    REQUESTED = "requested"
    """recorded; its workflow has not begun"""
    AWAITING_MALL = "awaiting_mall"
    """the mall is being asked, or told"""
    DONE = "done"
    REJECTED = "rejected"
    """vetoed by the mall"""
    ATTENTION = "attention"
    """the mall does not answer: waits for an operator"""


class MallAnswer(StrEnum):
    """A mall's answer to the question whether a member of a completed team may leave."""

    AGREED = "agreed"
    VETOED = "vetoed"


class RefundStep(StrEnum):
    """What a request to undo an order leads to."""

    CANCEL = "cancel"
    """the unpaid order is cancelled"""
    RETURN = "return"
    """the seat is released, and the mall returns the money"""
    ASK = "ask"
    """the mall is asked before anything is released"""
    REFUSE = "refuse"
    """refund_window_closed"""
    NO_CHANGE = "no_change"
    """the order is undone, or being undone: its refund is the answer"""


def decide_refund(order: OrderStatus, team: TeamStatus, *, in_window: bool, force: bool) -> RefundStep:
    """Returns what a request to undo an order leads to.

    Args:
        order: the order's status.
        team: its team's status.
        in_window: whether the request arrived within the refund window of a completed team.
        force: whether an operator overrides the window.
    """
    match order:
        case OrderStatus.LOCKED:
            return RefundStep.CANCEL
        case OrderStatus.PAID if team in {TeamStatus.FORMING, TeamStatus.FAILED}:
            return RefundStep.RETURN
        case OrderStatus.PAID:
            return RefundStep.ASK if in_window or force else RefundStep.REFUSE
        case OrderStatus.REFUNDING | OrderStatus.REFUNDED | OrderStatus.CANCELLED:
            return RefundStep.NO_CHANGE


@dataclass(frozen=True, slots=True)
class RefundWindow:
    """The time after a team's completion in which its members may leave it. It is judged once, when the refund is requested."""

    completed_at: datetime | None
    """None: the team was never completed, so no window is open"""
    seconds: int

    @property
    def end(self) -> datetime | None:
        """The first moment at which it is closed."""
        return None if self.completed_at is None else self.completed_at + timedelta(seconds=self.seconds)

    def is_open(self, now: datetime) -> bool:
        return self.end is not None and now < self.end

    def refusal(self) -> Refusal:
        """Returns the refusal of RefundStep.REFUSE."""
        ended = f"The refund window ended at {self.end:%Y-%m-%d %H:%M:%S} UTC." if self.end else "The refund window is closed."
        return Refusal(ErrorCode.REFUND_WINDOW_CLOSED, ended)


# --- how a forming team ends ---


class Conclusion(NamedTuple):
    status: TeamStatus
    how: Completion | FailReason


def completes_team(paid: int, target_count: int) -> bool:
    """Whether a payment that makes it `paid` paid members completes the team by Completion.TARGET."""
    return paid == target_count


class TeamDecision(StrEnum):
    """What asks a forming team to end."""

    DEADLINE = "deadline"
    COMPLETE = "complete"
    """an operator completes it with its paid members"""
    CLOSE = "close"
    """an operator fails it"""


def conclude(decision: TeamDecision, *, paid: int, min_count: int | None) -> Conclusion | None:
    """Returns how a forming team ends; None where it may not: there is nobody to complete it with.

    Args:
        decision: what asks for the end.
        paid: its paid members.
        min_count: with how many of them it completes at its deadline; None: only the target completes it.
    """
    match decision:
        case TeamDecision.CLOSE:
            return Conclusion(TeamStatus.FAILED, FailReason.CLOSED)
        case TeamDecision.COMPLETE:
            return Conclusion(TeamStatus.COMPLETED, Completion.OPERATOR) if paid > 0 else None
        case TeamDecision.DEADLINE:
            if min_count is not None and paid >= min_count:
                return Conclusion(TeamStatus.COMPLETED, Completion.MIN_COUNT)
            return Conclusion(TeamStatus.FAILED, FailReason.EXPIRED)


# --- campaigns ---

SELLING = frozenset({CampaignStatus.ACTIVE, CampaignStatus.PAUSED, CampaignStatus.DRAINING})
"""Statuses in which a campaign's window is taken: no other campaign of these may sell the same goods in it."""


def require_transition(before: CampaignStatus, after: CampaignStatus) -> None:
    """Raises Refusal where a campaign may not go from one status to the other.

    `ended` is final, because buyers may have been told so. Every other status may follow any other.
    """
    if before is CampaignStatus.ENDED and after is not CampaignStatus.ENDED:
        raise Refusal(ErrorCode.CAMPAIGN_CONFLICT, f"A campaign that is {before} cannot become {after}.")
