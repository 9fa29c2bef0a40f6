"""What travels between the API, the workflows and the activities.

Histories outlive deployments: a field added later has a default, and none is ever renamed or removed.
"""

from domain.errors import ErrorCode
from domain.lifecycle import (
    OrderStatus,
    PaymentOutcome,
    PaymentReason,
    TeamStatus,
)
from domain.messages.base import WorkflowMessage
from domain.messages.callbacks import Address
from domain.types import Moment, Money


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
