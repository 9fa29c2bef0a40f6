"""What travels between the API, the workflows and the activities.

Histories outlive deployments: a field added later has a default, and none is ever renamed or removed.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.audiences import FillingStatus
from domain.errors import ErrorCode
from domain.states import (
    Ending,
    OrderStatus,
    PaymentOutcome,
    PaymentReason,
    RefundKind,
    RefundStatus,
    TeamStatus,
)
from domain.values import Moment, Money


class WorkflowMessage(BaseModel):
    """Frozen, and blind to fields of a later version."""

    model_config = ConfigDict(frozen=True, extra="ignore")


# --- seats ---


CallbackFormat = Literal["standard", "original"]


class Address(WorkflowMessage):
    """Where an order's events go."""

    kind: Literal["http", "amqp"]
    address: str
    format: CallbackFormat = "standard"


class SeatRequest(WorkflowMessage):
    """One buyer's request for a seat; `opens_team` tells the opener from a joiner."""

    source: str
    out_trade_no: str
    user_id: str
    goods_id: str
    channel: str
    campaign_id: int | None = None
    team_id: str
    opens_team: bool
    callback: Address | None = None
    wants_seat: bool = False
    """whoever asks takes the seat for an answer; before there was this, the answer was `repeated` alone"""


class LockSeat(WorkflowMessage):
    request: SeatRequest
    now: Moment


class RefusedSeat(WorkflowMessage):
    code: ErrorCode
    detail: str


class Sale(WorkflowMessage):
    """What a new order says beyond its request."""

    campaign_id: int
    original_price: Money
    pay_price: Money
    locked_at: Moment
    lock_expires_at: Moment


class HeldSeat(WorkflowMessage):
    """A seat as it is in the database, and its team's clock."""

    out_trade_no: str
    user_id: str
    status: OrderStatus
    keep_until: Moment
    """when an unpaid seat is given up: its window and the grace"""
    team_status: TeamStatus
    deadline: Moment
    payment_grace: int
    refund_window: int
    repeated: bool = False
    """its order was there before this request"""
    sale: Sale | None = None
    """of a new order"""


class SeatAnswer(WorkflowMessage):
    """A refusal is an answer, not a failure: retrying it would only repeat it."""

    seat: HeldSeat | None = None
    refused: RefusedSeat | None = None


class OverdueSeats(WorkflowMessage):
    """Asks to give up every unpaid seat of a team whose time is over at `now`."""

    team_id: str
    now: Moment
    out_trade_nos: list[str] = []
    """those that the asker knows of: the answer says what became of them, also when a repeat finds them ended"""


class ReleasedSeats(WorkflowMessage):
    cancelled: list[str] = []
    """out_trade_nos of the orders that ended unpaid"""
    team_status: TeamStatus
    event_ids: list[str] = []


# --- payments ---


class PaymentReport(WorkflowMessage):
    source: str
    out_trade_no: str
    order_id: str
    team_id: str
    amount: Money
    paid_at: Moment


class SettlePayment(WorkflowMessage):
    report: PaymentReport
    now: Moment
    tells_mall: bool = False
    """whoever books it makes the first try to tell the mall, and hands to the team's workflow what that leaves"""


class SettledPayment(WorkflowMessage):
    outcome: PaymentOutcome
    reason: PaymentReason | None = None
    order_status: OrderStatus
    team_status: TeamStatus
    completed_at: Moment | None = None
    event_ids: list[str] = []
    user_id: str = ""
    refund_attempt: int | None = None
    """the refund that returns this payment, when it could not be settled and has not gone back yet"""
    repeated: bool = False
    """it had been booked before this report"""


# --- the team's end ---


class ConcludeTeam(WorkflowMessage):
    team_id: str
    ending: Ending
    now: Moment


class ConcludedTeam(WorkflowMessage):
    """What the team's rows say after it was asked to end."""

    team_status: TeamStatus
    changed: bool
    """false: it had ended before, or may not end like that"""
    detail: str
    completed_at: Moment | None = None
    cancelled: list[str] = []
    owed: list[str] = []
    """out_trade_nos of paid orders whose money must go back"""
    event_ids: list[str] = []


class ExtendTeam(WorkflowMessage):
    team_id: str
    deadline: Moment


class ExtendedTeam(WorkflowMessage):
    team_status: TeamStatus
    deadline: Moment


# --- callbacks ---


class Deliver(WorkflowMessage):
    event_ids: list[str]


class Delivered(WorkflowMessage):
    delivered: int
    dead: int


class ReviveCallbacks(WorkflowMessage):
    """Asks to make what was given up of a team's events due again."""

    team_id: str
    now: Moment


class RevivedCallbacks(WorkflowMessage):
    event_ids: list[str] = []


class Resend(WorkflowMessage):
    """Events that somebody wants to be sent again, and that wait for it in the database."""

    event_ids: list[str] = []


class Sample(WorkflowMessage):
    """A callback that stands for nothing: for a mall that tries out its receiver."""

    source: str
    event_id: str
    type: str
    data: str
    """JSON"""
    callback: Address
    now: Moment


class SampleReply(WorkflowMessage):
    """What the mall made of it."""

    event_id: str
    delivered: bool
    http_status: int | None = None
    error: str | None = None
    duration_ms: int
    body: str = ""
    """the beginning of the mall's answer"""


# --- the net under terminated workflows ---


class FindLeftovers(WorkflowMessage):
    now: Moment


class Leftovers(WorkflowMessage):
    team_ids: list[str] = []
    event_ids: list[str] = []


# --- refunds ---


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


class RefundRequest(WorkflowMessage):
    """What the API asks of a refund's workflow: to undo the order or, with `payment`, to book money first."""

    reason: str = ""
    operator: str = ""
    force: bool = False
    payment: PaymentReport | None = None


class OpenRefund(WorkflowMessage):
    order_id: str
    out_trade_no: str = ""
    """what the order is called, when there is none"""
    attempt: int | None = None
    reason: str = ""
    operator: str = ""
    force: bool = False
    now: Moment


class MallAnswer(StrEnum):
    """To the question whether a member of a completed team may leave."""

    AGREED = "agreed"
    VETOED = "vetoed"


class RefundState(WorkflowMessage):
    """A refund as its rows have it: what is left to do follows from this, wherever an earlier run stopped."""

    order_id: str
    team_id: str
    attempt: int
    kind: RefundKind
    status: RefundStatus
    asks: bool
    """the mall is asked before the seat is released"""
    answer: MallAnswer | None = None
    note: str = ""
    released: bool
    team_status: TeamStatus
    team_changed: bool = False
    """this transaction took the member out of a team whose workflow may want to know"""

    @property
    def is_over(self) -> bool:
        return self.status in {RefundStatus.DONE, RefundStatus.REJECTED}


class RefundAnswer(WorkflowMessage):
    """What the first transaction did."""

    refund: RefundState | None = None
    payment: SettledPayment | None = None


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


class RefundWish(WorkflowMessage):
    """What an operator asks of a team's workflow."""

    team_id: str
    out_trade_no: str
    reason: str = ""
    operator: str = ""
    now: Moment


class Undelivered(WorkflowMessage):
    """Events that the first try did not deliver: their team's workflow goes on with them."""

    event_ids: list[str] = []


class MemberLeft(WorkflowMessage):
    """Tells a team's workflow what its rows say already."""

    out_trade_no: str = ""
    team_status: TeamStatus | None = None


# --- audiences ---


class AudienceFilling(WorkflowMessage):
    """Names a filling of an audience."""

    audience_id: str
    filling: int


class FillingState(WorkflowMessage):
    """How far it is."""

    status: FillingStatus
    seen: int = 0
    member_count: int = 0
    last_user: str = ""


class FailFilling(WorkflowMessage):
    filling: int
    why: str
    now: Moment


class ClearedMembers(WorkflowMessage):
    """Fillings whose members were deleted."""

    fillings: list[int] = []


# --- a campaign that is ended at once ---


class BeginEnding(WorkflowMessage):
    campaign_id: int
    operator: str
    reason: str = ""
    now: Moment


class CloseTeams(WorkflowMessage):
    """Asks to close the teams of an ending that are still forming."""

    campaign_id: int
    operator: str = ""
    reason: str = ""
    after: str = ""
    """goes on after this team"""
    by_rows: bool = False
    """their workflows have been told before, and that was not enough"""
    now: Moment


class ClosedTeams(WorkflowMessage):
    after: str = ""
    """the last of these, when there may be more"""
    event_ids: list[str] = []
    """what is to be told of teams that no workflow tells of"""


class LookAtEnding(WorkflowMessage):
    campaign_id: int
    now: Moment


class EndingState(WorkflowMessage):
    """How far an ending is, as its rows have it."""

    teams_total: int
    teams_done: int
    teams_completed: int
    refunds_total: int
    refunds_done: int
    refunds_attention: int
    amount_total: Money
    amount_returned: Money
    finished: bool

    @property
    def teams_forming(self) -> int:
        return self.teams_total - self.teams_done

    @property
    def is_complete(self) -> bool:
        return self.teams_forming == 0 and self.refunds_done == self.refunds_total


class EndingInput(WorkflowMessage):
    """Whose campaign, and why. An operator may start an ending by hand with this object."""

    campaign_id: int
    operator: Annotated[str, Field(max_length=128)] = ""
    reason: Annotated[str, Field(max_length=500)] = ""
    after: Annotated[str, Field(description="set by continue-as-new: the last team that was told to close")] = ""
    told: Annotated[bool, Field(description="set by continue-as-new: every team's workflow was told to close")] = False


# --- what operators send: one JSON object each. A handler takes any JSON and judges it with these, since a signal that the
# --- SDK cannot decode is dropped without a trace.


class OperatorSignal(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    operator: Annotated[str, Field(max_length=128)] = ""
    reason: Annotated[str, Field(max_length=500)] = ""


class ExtendSignal(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    minutes: Annotated[int, Field(strict=True, ge=1, le=525_600)]
    operator: Annotated[str, Field(max_length=128)] = ""


class RefundSignal(OperatorSignal):
    out_trade_no: Annotated[str, Field(min_length=1, max_length=64)]


class ResendSignal(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    operator: Annotated[str, Field(max_length=128)] = ""


class ResendCallbacksSignal(ResendSignal):
    """Of a team: what was given up."""


class CloseManuallySignal(ResendSignal):
    note: Annotated[str, Field(max_length=500)] = ""


class DecideSignal(CloseManuallySignal):
    approve: Annotated[bool, Field(strict=True)]


# --- the team workflow itself ---


class Seat(WorkflowMessage):
    """A seat in the workflow's view: what its timer and its details need."""

    user_id: str
    status: OrderStatus
    keep_until: Moment


class TeamView(WorkflowMessage):
    """What a team's next run must know of this one."""

    status: TeamStatus
    deadline: Moment
    payment_grace: int
    refund_until: Moment | None = None
    refund_window: int
    seats: dict[str, Seat] = {}
    undelivered: list[str] = []
    told_elsewhere: list[str] = []
    notes: list[str] = []


class TeamInput(WorkflowMessage):
    team_id: str
    source: str
    campaign_id: int
    goods_id: str
    goods_name: str
    target_count: int
    local_activities: bool = True
    protocol: int = 1
    """which steps the workflow takes: a running team keeps those that it was started with"""
    view: Annotated[TeamView | None, Field(description="set by continue-as-new")] = None


PROTOCOL = 2
"""1: the team starts no refunds, and delivers every event by itself. 2: it starts those that it causes, and leaves the
first try of what a payment completes to the worker that booked it."""


class WorkflowFailure(StrEnum):
    """Types of failure that are not a refusal with a code of its own."""

    NO_FIRST_SEAT = "NoFirstSeat"
    BROKEN_INVARIANT = "BrokenInvariant"
    DATABASE_AWAY = "DatabaseAway"
    CALLBACKS_PENDING = "CallbacksPending"
    TEAM_OVER = "TeamOver"
    REFUND_REJECTED = "RefundRejected"
    NO_REQUEST = "NoRequest"
    UNUSABLE_INPUT = "UnusableInput"
