"""The public JSON of events: the bodies of callbacks (docs/callbacks.md)."""

from enum import StrEnum
from typing import Any, Literal

from domain.lifecycle import CancelReason, Completion, FailReason, RefundKind
from domain.types import Moment, Money, Schema


class EventType(StrEnum):
    TEAM_COMPLETED = "team.completed"
    TEAM_FAILED = "team.failed"
    ORDER_CANCELLED = "order.cancelled"
    ORDER_RESEATED = "order.reseated"
    """a late payment took a seat again"""
    ORDER_REFUND_REQUESTED = "order.refund_requested"
    """the only question: whether a member of a completed team may leave"""
    ORDER_REFUNDED = "order.refunded"
    """the mall returns the buyer's money"""


class TeamCompleted(Schema):
    """The team is complete: the mall ships to its members."""

    team_id: str
    campaign_id: int
    completion: Completion
    out_trade_nos: list[str]
    """the paid members' orders, in the order of their payments"""


class TeamFailed(Schema):
    """The team failed. Money is returned by `order.refunded` alone, one event for each paid order."""

    team_id: str
    reason: FailReason
    out_trade_nos: list[str]
    """the orders that were live"""


class OrderCancelled(Schema):
    """An unpaid order lost its seat."""

    out_trade_no: str
    team_id: str
    reason: CancelReason


class OrderReseated(Schema):
    """A payment that came after the cancellation took a seat again: the order is paid."""

    out_trade_no: str
    team_id: str


class OrderRefundRequested(Schema):
    """Asks the mall whether a member of a completed team may leave: 2xx agrees, 409 with `refund_rejected` vetoes."""

    out_trade_no: str
    team_id: str
    amount: Money
    reason: str


class OrderRefunded(Schema):
    """The mall returns this amount to the buyer; of kind `paid_formed`, it takes the goods back."""

    out_trade_no: str
    team_id: str
    kind: RefundKind
    amount: Money
    reason: str


class Envelope(Schema):
    """What the bodies of all callbacks have in common."""

    timestamp: Moment
    """when the fact occurred"""
    sequence: int
    """per mall, without gaps; of two events about one order, the one with the higher sequence holds"""


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
"""The data of sample events, whose teams and orders do not exist."""
