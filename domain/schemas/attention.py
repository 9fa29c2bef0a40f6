"""The public JSON of what needs a decision by an operator."""

from enum import StrEnum

from domain.schemas.workflows import WorkflowLink
from domain.types import Moment, Schema


class AttentionKind(StrEnum):
    REFUND = "refund"
    """a refund that the mall does not answer"""
    PAYMENT_CONFLICT = "payment_conflict"
    """another amount was reported for an order that has a payment"""
    CALLBACK = "callback"
    """a callback that was given up"""


class Attention(Schema):
    """Something that waits for an operator."""

    kind: AttentionKind
    subject: str
    """order id; of a callback, the event id"""
    source: str
    out_trade_no: str | None
    team_id: str
    since: Moment
    detail: str
    workflow: WorkflowLink
