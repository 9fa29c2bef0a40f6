"""What malls and operators see of a refund (design.md section 8)."""

from enum import StrEnum

from domain.schemas.workflows import WorkflowLink
from domain.types import Moment, Schema


class AttentionKind(StrEnum):
    REFUND = "refund"
    """a refund that the mall does not answer to"""
    PAYMENT_CONFLICT = "payment_conflict"
    """another amount was reported for an order that has a payment"""
    CALLBACK = "callback"
    """an event that was given up"""


class Attention(Schema):
    """Something that waits for a person."""

    kind: AttentionKind
    subject: str
    """the order's id or, of a callback, the event's"""
    source: str
    out_trade_no: str | None
    team_id: str
    since: Moment
    detail: str
    workflow: WorkflowLink
