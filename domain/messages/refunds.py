"""What the API, the workflows and the activities tell each other about refunds."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from domain.lifecycle import (
    MallAnswer,
    RefundKind,
    RefundStatus,
    TeamStatus,
)
from domain.messages.acts import Act, Outcome
from domain.messages.base import WorkflowMessage
from domain.types import Moment


class RefundAction(StrEnum):
    """What an operator may tell a refund's workflow: names of its signals and updates, and in the audit."""

    DECIDE = "decide"
    RESEND = "resend"
    CLOSE_MANUALLY = "close_manually"


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
    act: Act | None = None
    """the operator's; none: one of `operator`, if it names somebody"""


class RefundRequest(WorkflowMessage):
    """Asks a refund's workflow to undo its order."""

    reason: str = ""
    act: Act | None = None
    """an operator's; none: the buyer's, or the platform's"""
    force: bool = False
    requested_at: Moment | None = None
    """when the refund window is judged; none: when the workflow gets to it"""


class OpenRefund(WorkflowMessage):
    order_id: str
    out_trade_no: str = ""
    """what the order is called, when there is none"""
    attempt: int | None = None
    reason: str = ""
    act: Act | None = None
    force: bool = False
    requested_at: Moment | None = None
    """when the refund window is judged; none: now"""
    now: Moment

    @property
    def operator(self) -> str:
        return self.act.author.operator if self.act else ""


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
    outcome: Outcome | None = None
    """of the operator's act that this transaction was asked for"""
    left_live_team: bool = False
    """the member has left a team that was not failed before: the team's workflow has to hear of it"""

    @property
    def is_over(self) -> bool:
        return self.status in {RefundStatus.DONE, RefundStatus.REJECTED}


class ChangeRefund(WorkflowMessage):
    """Moves one refund on; who stepped in is kept with the note."""

    order_id: str
    attempt: int
    now: Moment
    action: RefundAction | None = None
    act: Act | None = None
    """an operator's; none: the refund goes its way"""
    answer: MallAnswer | None = None

    @property
    def operator(self) -> str:
        return self.act.author.operator if self.act else ""

    @property
    def note(self) -> str:
        return self.act.reason if self.act else ""


class DecideByOperator(WorkflowMessage):
    """What the update `decide` of a refund's workflow takes."""

    approve: bool
    act: Act


class DeclineAct(WorkflowMessage):
    """Asks to record that an act changed nothing, and why."""

    order_id: str
    attempt: int | None
    """none: the order has no refund"""
    action: RefundAction
    act: Act
    now: Moment


class StartTeamRefunds(WorkflowMessage):
    """Asks to start a refund for every paid order of a failed team."""

    team_id: str


class StartedRefunds(WorkflowMessage):
    count: int


class RefundByOperator(WorkflowMessage):
    """What an operator asks of a team's workflow."""

    team_id: str
    out_trade_no: str
    now: Moment
    act: Act


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
