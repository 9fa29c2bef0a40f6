"""What travels between the API, the workflows and the activities.

Histories outlive deployments: a field added later has a default, and none is ever renamed or removed.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.errors import ErrorCode
from domain.states import Ending, OrderStatus, PaymentOutcome, PaymentReason, TeamStatus
from domain.values import Moment, Money


class WorkflowMessage(BaseModel):
    """Frozen, and blind to fields of a later version."""

    model_config = ConfigDict(frozen=True, extra="ignore")


# --- seats ---


class Address(WorkflowMessage):
    """Where an order's events go."""

    kind: Literal["http", "amqp"]
    address: str
    format: Literal["standard"] = "standard"


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


class LockSeat(WorkflowMessage):
    request: SeatRequest
    now: Moment


class RefusedSeat(WorkflowMessage):
    code: ErrorCode
    detail: str


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


class SettledPayment(WorkflowMessage):
    outcome: PaymentOutcome
    reason: PaymentReason | None = None
    order_status: OrderStatus
    team_status: TeamStatus
    completed_at: Moment | None = None
    event_ids: list[str] = []


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


# --- the net under terminated workflows ---


class FindLeftovers(WorkflowMessage):
    now: Moment


class Leftovers(WorkflowMessage):
    team_ids: list[str] = []
    event_ids: list[str] = []


# --- money that arrives when the team's workflow has ended ---


class RefundInput(WorkflowMessage):
    source: str
    out_trade_no: str
    order_id: str
    attempt: int = 1


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
    notes: list[str] = []


class TeamInput(WorkflowMessage):
    team_id: str
    source: str
    campaign_id: int
    goods_id: str
    goods_name: str
    target_count: int
    local_activities: bool = True
    view: Annotated[TeamView | None, Field(description="set by continue-as-new")] = None


class WorkflowFailure(StrEnum):
    """Types of failure that are not a refusal with a code of its own."""

    NO_FIRST_SEAT = "NoFirstSeat"
    BROKEN_INVARIANT = "BrokenInvariant"
    DATABASE_AWAY = "DatabaseAway"
    CALLBACKS_PENDING = "CallbacksPending"
    TEAM_OVER = "TeamOver"
