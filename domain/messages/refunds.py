"""What the API, the workflows and the activities tell each other about refunds."""

from typing import Annotated

from pydantic import Field

from domain.lifecycle import (
    MallAnswer,
    RefundKind,
    RefundStatus,
    TeamStatus,
)
from domain.messages.base import WorkflowMessage
from domain.types import Moment


class RefundInput(WorkflowMessage):
    """Whose order, and why. An operator may start a refund by hand with this object; the order's id follows from it."""

    source: Annotated[str, Field(min_length=1)]
    out_trade_no: Annotated[str, Field(min_length=1)]
    reason: Annotated[str, Field(max_length=500)] = ""
    operator: Annotated[str, Field(max_length=128)] = ""
    force: Annotated[bool, Field(strict=True)] = False
    """an operator sets the refund window aside"""
    awaits_request: bool = False
    """the update `request` comes with the start, and its answer is the first transaction's"""
    attempt: int | None = None
    """which of the order's refunds this is; none: the next one, or the one under way"""
    requested_at: Moment | None = None
    """when the refund window is judged; none: when the workflow begins"""


class RefundRequest(WorkflowMessage):
    """Asks a refund's workflow to undo its order."""

    reason: str = ""
    operator: str = ""
    force: bool = False
    requested_at: Moment | None = None
    """when the refund window is judged; none: when the workflow gets to it"""


class OpenRefund(WorkflowMessage):
    order_id: str
    out_trade_no: str = ""
    """what the order is called, when there is none"""
    attempt: int | None = None
    reason: str = ""
    operator: str = ""
    force: bool = False
    requested_at: Moment | None = None
    """when the refund window is judged; none: now"""
    now: Moment


class RefundState(WorkflowMessage):
    """A refund as its rows have it: what is left to do follows from this, wherever an earlier run stopped."""

    order_id: str
    team_id: str
    attempt: int
    kind: RefundKind
    status: RefundStatus
    needs_consent: bool
    """the mall is asked before the seat is released"""
    answer: MallAnswer | None = None
    note: str = ""
    released: bool
    """the order holds no seat any more"""
    team_status: TeamStatus
    left_live_team: bool = False
    """the member has left a team that was not failed before: the team's workflow has to hear of it"""

    @property
    def is_over(self) -> bool:
        return self.status in {RefundStatus.DONE, RefundStatus.REJECTED}


class ChangeRefund(WorkflowMessage):
    """Moves one refund on; `operator` and `note` are kept where somebody stepped in."""

    order_id: str
    attempt: int
    now: Moment
    operator: str = ""
    note: str = ""
    answer: MallAnswer | None = None


class StartTeamRefunds(WorkflowMessage):
    """Asks to start a refund for every paid order of a failed team."""

    team_id: str


class StartedRefunds(WorkflowMessage):
    count: int


class RefundByOperator(WorkflowMessage):
    """What an operator asks of a team's workflow."""

    team_id: str
    out_trade_no: str
    reason: str = ""
    operator: str = ""
    now: Moment


class StartingRefunds(WorkflowMessage):
    """How far the refunds of a failed team have been started."""

    after: str = ""
    """the out_trade_no of the last one"""
    count: int = 0
    checks: int = 0
    """how many times the next batch has waited"""

    @property
    def done(self) -> str:
        return f"{self.count} refund(s) started"
