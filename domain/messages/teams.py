"""What the API, the workflows and the activities tell each other about teams."""

from domain.lifecycle import OrderStatus, TeamDecision, TeamStatus
from domain.messages.acts import Act, Outcome
from domain.messages.base import WorkflowMessage
from domain.types import Moment


class TeamRow(WorkflowMessage):
    """The team as its row has it after a transaction."""

    status: TeamStatus
    version: int
    """grows in every transaction that changes the team or its seats"""
    deadline: Moment
    refund_until: Moment | None = None
    """the end of the refund window of a completed team"""


class SeatRow(WorkflowMessage):
    """One order of a team as its row has it."""

    out_trade_no: str
    user_id: str = ""
    status: OrderStatus | None = None
    """None: the team has no such order"""
    live: bool = False
    """it holds a seat"""
    keep_until: Moment | None = None
    """end of an unpaid seat's payment window and grace"""


class TeamAnswer(WorkflowMessage):
    """What every transaction on a team answers: what the rows say afterwards, of the team and of each seat asked about."""

    team: TeamRow
    seats: list[SeatRow] = []
    decides_team: bool = False
    """this transaction completed or failed the team"""
    event_ids: list[str] = []
    """events that this transaction has written and a mall is to be told"""
    repeated: bool = False
    """an earlier transaction has done it, whose answer may be lost: what followed from it is in the rows"""


class TeamFacts(WorkflowMessage):
    """What every start of a team's workflow says of the team."""

    team_id: str
    source: str
    campaign_id: int
    goods_id: str
    goods_name: str
    target_count: int


class RowsChanged(WorkflowMessage):
    """Tells a team's workflow to read the rows: what was admitted directly since it last did, as far as that is known."""

    locks: int = 0
    payments: int = 0


class TakeOver(WorkflowMessage):
    """Asks for everything that a team's workflow has to know and to do, from the rows alone."""

    team_id: str
    now: Moment


class TeamRows(WorkflowMessage):
    """A team's rows at one moment."""

    rows: TeamAnswer | None = None
    """the team, its live seats, and its undelivered events that no refund's workflow delivers; None: there is no such team"""
    owed: int = 0
    """paid orders of a failed team that no refund has begun for"""
    locks: int = 0
    payments: int = 0
    """admitted directly since the last take-over"""


class ConcludeTeam(WorkflowMessage):
    """Asks to complete or fail a forming team."""

    team_id: str
    decision: TeamDecision
    now: Moment
    act: Act | None = None
    """an operator's; none: its deadline"""


class ActedTeam(TeamAnswer):
    """What came of an operator's act, or of the deadline."""

    changed: bool = False
    """false: the team was over before, or may not end like that; `detail` says why"""
    detail: str

    @property
    def outcome(self) -> Outcome:
        return Outcome(changed=self.changed, detail=self.detail)


class ConcludedTeam(ActedTeam):
    owed: list[str] = []
    """out_trade_nos of paid orders whose money must go back"""


class ExtendByOperator(WorkflowMessage):
    """What the update `extend` of a team's workflow takes."""

    minutes: int
    act: Act


class ExtendTeam(WorkflowMessage):
    """Asks to give a forming team more time."""

    team_id: str
    minutes: int
    now: Moment
    act: Act


class MemberLeft(WorkflowMessage):
    """Tells a team's workflow that a refund has released a seat: a hint to read the rows."""

    out_trade_no: str = ""
