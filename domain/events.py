"""What malls are told (design.md section 9)."""

from enum import StrEnum


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
