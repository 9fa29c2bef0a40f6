"""What happened to a team and its orders, in the order of time."""

from enum import StrEnum

from domain.schemas.workflows import WorkflowLink
from domain.types import Balance, Moment, Schema


class TimelineKind(StrEnum):
    TEAM_OPENED = "team_opened"
    TEAM_COMPLETED = "team_completed"
    TEAM_FAILED = "team_failed"
    SEAT_LOCKED = "seat_locked"
    SEAT_CANCELLED = "seat_cancelled"
    CAMPAIGN_ENDED = "campaign_ended"
    """an operator ended the campaign together with its forming teams, of which this was one"""
    PAYMENT = "payment"
    PAYMENT_CONFLICT = "payment_conflict"
    """another amount was reported for an order that has a payment"""
    REFUND_REQUESTED = "refund_requested"
    REFUND_RELEASED = "refund_released"
    """the seat was given back, and the mall is told to return the money"""
    REFUND_FINISHED = "refund_finished"
    UNEARNED = "unearned"
    """a discount was booked that the team did not earn; `detail` is what of the amount the platform bears"""
    EVENT = "event"
    ATTEMPT = "attempt"
    """to deliver an event to an address"""
    ACT = "act"
    """of an operator"""
    RUN_BEGAN = "run_began"
    """of a workflow; `code` is what it is of: a team, a refund, or a payment"""
    RUN_ENDED = "run_ended"
    """`detail` is its status"""


class TimelineEntry(Schema):
    """One thing that happened. Which of the fields there are depends on its kind."""

    number: int
    """its place, the oldest is 1"""
    at: Moment
    kind: TimelineKind
    order_id: str | None
    out_trade_no: str | None
    user_id: str | None
    amount: Balance | None
    code: str | None
    """a reason, status, outcome, event type or action"""
    detail: str | None
    by: str | None
    """the operator, or the address of a delivery"""
    event_id: str | None
    workflow: WorkflowLink | None = None
    """whose run it is"""
