"""What malls are told (design.md section 9)."""

from enum import StrEnum
from typing import Literal

from domain.states import CancelReason, Completion, FailReason, RefundKind
from domain.values import Message, Moment, Money


class EventType(StrEnum):
    TEAM_COMPLETED = "team.completed"
    TEAM_FAILED = "team.failed"
    ORDER_CANCELLED = "order.cancelled"
    ORDER_RESEATED = "order.reseated"
    """a payment came late, and its seat could be taken again"""
    ORDER_REFUND_REQUESTED = "order.refund_requested"
    """the one question: may this member of a completed team leave?"""
    ORDER_REFUNDED = "order.refunded"
    """a fact: return this buyer's money"""


class TeamCompleted(Message):
    team_id: str
    campaign_id: int
    completion: Completion
    out_trade_nos: list[str]


class TeamFailed(Message):
    team_id: str
    reason: FailReason
    out_trade_nos: list[str]


class OrderCancelled(Message):
    out_trade_no: str
    team_id: str
    reason: CancelReason


class OrderReseated(Message):
    out_trade_no: str
    team_id: str


class OrderRefundRequested(Message):
    out_trade_no: str
    team_id: str
    amount: Money
    reason: str


class OrderRefunded(Message):
    out_trade_no: str
    team_id: str
    kind: RefundKind
    amount: Money
    reason: str


class Event(Message):
    """The envelope: the body of a callback."""

    timestamp: Moment
    """when the fact became true"""
    sequence: int
    """per mall and without gaps: of two events that name an order, the higher one holds"""


class TeamCompletedEvent(Event):
    type: Literal[EventType.TEAM_COMPLETED]
    data: TeamCompleted


class TeamFailedEvent(Event):
    type: Literal[EventType.TEAM_FAILED]
    data: TeamFailed


class OrderCancelledEvent(Event):
    type: Literal[EventType.ORDER_CANCELLED]
    data: OrderCancelled


class OrderReseatedEvent(Event):
    type: Literal[EventType.ORDER_RESEATED]
    data: OrderReseated


class OrderRefundRequestedEvent(Event):
    type: Literal[EventType.ORDER_REFUND_REQUESTED]
    data: OrderRefundRequested


class OrderRefundedEvent(Event):
    type: Literal[EventType.ORDER_REFUNDED]
    data: OrderRefunded
