"""The public JSON of refunds."""

from domain.lifecycle import MallAnswer, RefundKind, RefundStatus
from domain.schemas.workflows import WorkflowLink
from domain.types import Moment, Money, Schema


class Refund(Schema):
    """The refund of an order."""

    order_id: str
    out_trade_no: str
    kind: RefundKind
    status: RefundStatus
    reason: str
    amount: Money
    requested_at: Moment
    finished_at: Moment | None
    workflow: WorkflowLink


class OpsRefund(Refund):
    """A refund as operators see it."""

    source: str
    team_id: str
    attempt: int
    """counts the refunds of the order"""
    operator: str | None
    """who requested it or last intervened; null: the buyer or the platform"""
    answer: MallAnswer | None
    """the mall's, or an operator's in its place"""
    note: str | None
    """the reason of the answer"""
