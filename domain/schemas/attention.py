"""The public JSON of what needs a decision by an operator."""

from enum import StrEnum

from domain.schemas.workflows import WorkflowLink
from domain.types import Moment, Schema


class AttentionKind(StrEnum):
    REFUND = "refund"
    """a refund that the mall does not answer, or whose workflow failed or was terminated"""
    PAYMENT_CONFLICT = "payment_conflict"
    """another amount was reported for an order that has a payment"""
    CALLBACK = "callback"
    """a callback that was given up"""
    TEAM = "team"
    """a team whose overdue seats reconciliation cannot release, or which it cannot conclude"""
    MALL = "mall"
    """a mall whose overdue callbacks reconciliation cannot attempt"""
    INVARIANT = "invariant"
    """a team, what the teams of a campaign share, or the settlement of a mall's day, in which an invariant does not hold"""
    WORKFLOW = "workflow"
    """a team that is forming or in its refund window, and whose workflow is not running"""
    WAKEUP = "wakeup"
    """a team whose workflow was told many times that its rows have changed, and has not read them"""


class Resolvable(StrEnum):
    """What of it an operator settles; the rest ends when its cause does, a refund also by an act of its own."""

    PAYMENT_CONFLICT = "payment_conflict"
    CALLBACK = "callback"


class Attention(Schema):
    """Something that waits for an operator."""

    kind: AttentionKind
    subject: str
    """order id; of a callback, the event id; of a mall, its source; otherwise the team id"""
    source: str
    out_trade_no: str | None
    team_id: str | None
    since: Moment
    detail: str
    workflow: WorkflowLink | None
    """null: a mall's"""
