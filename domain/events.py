"""What malls are told (design.md section 9)."""

from enum import StrEnum
from typing import Any


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
