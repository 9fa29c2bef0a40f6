"""What malls and operators see of a refund (design.md section 8)."""

from domain.lifecycle import MallAnswer, RefundKind, RefundStatus
from domain.schemas.workflows import WorkflowLink
from domain.types import Moment, Money, Schema


class Refund(Schema):
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
    source: str
    team_id: str
    attempt: int
    operator: str | None
    answer: MallAnswer | None
    note: str | None
