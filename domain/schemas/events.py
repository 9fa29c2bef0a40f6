"""What malls are told (design.md section 9)."""

from enum import StrEnum
from typing import Any, Literal

from domain.lifecycle import CancelReason, Completion, FailReason, RefundKind
from domain.types import Moment, Money, Schema


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


class TeamCompleted(Schema):
    team_id: str
    campaign_id: int
    completion: Completion
    out_trade_nos: list[str]


class TeamFailed(Schema):
    team_id: str
    reason: FailReason
    out_trade_nos: list[str]


class OrderCancelled(Schema):
    out_trade_no: str
    team_id: str
    reason: CancelReason


class OrderReseated(Schema):
    out_trade_no: str
    team_id: str


class OrderRefundRequested(Schema):
    out_trade_no: str
    team_id: str
    amount: Money
    reason: str


class OrderRefunded(Schema):
    out_trade_no: str
    team_id: str
    kind: RefundKind
    amount: Money
    reason: str


class Envelope(Schema):
    """The body of a callback."""

    timestamp: Moment
    """when the fact became true"""
    sequence: int
    """per mall and without gaps: of two events that name an order, the higher one holds"""


class TeamCompletedEvent(Envelope):
    type: Literal[EventType.TEAM_COMPLETED]
    data: TeamCompleted


class TeamFailedEvent(Envelope):
    type: Literal[EventType.TEAM_FAILED]
    data: TeamFailed


class OrderCancelledEvent(Envelope):
    type: Literal[EventType.ORDER_CANCELLED]
    data: OrderCancelled


class OrderReseatedEvent(Envelope):
    type: Literal[EventType.ORDER_RESEATED]
    data: OrderReseated


class OrderRefundRequestedEvent(Envelope):
    type: Literal[EventType.ORDER_REFUND_REQUESTED]
    data: OrderRefundRequested


class OrderRefundedEvent(Envelope):
    type: Literal[EventType.ORDER_REFUNDED]
    data: OrderRefunded


SAMPLES: dict[EventType, dict[str, Any]] = {
    EventType.TEAM_COMPLETED: {
        "team_id": "sample-team",
        "campaign_id": 1,
        "completion": "target",
        "out_trade_nos": ["sample-1", "sample-2", "sample-3"],
    },
    EventType.TEAM_FAILED: {"team_id": "sample-team", "reason": "expired", "out_trade_nos": ["sample-1"]},
    EventType.ORDER_CANCELLED: {"out_trade_no": "sample-1", "team_id": "sample-team", "reason": "lock_timeout"},
    EventType.ORDER_RESEATED: {"out_trade_no": "sample-1", "team_id": "sample-team"},
    EventType.ORDER_REFUND_REQUESTED: {
        "out_trade_no": "sample-1",
        "team_id": "sample-team",
        "amount": "80.00",
        "reason": "a sample",
    },
    EventType.ORDER_REFUNDED: {
        "out_trade_no": "sample-1",
        "team_id": "sample-team",
        "kind": "paid_unformed",
        "amount": "80.00",
        "reason": "a sample",
    },
}
"""The data of samples: they name no order that there can be a payment for."""
