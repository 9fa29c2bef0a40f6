"""What the API, the workflows and the activities tell each other about seats and payments."""

from domain.errors import ErrorCode
from domain.lifecycle import PaymentOutcome, PaymentReason
from domain.messages.base import WorkflowMessage
from domain.messages.callbacks import Address
from domain.messages.teams import TeamAnswer
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
    request_id: str = ""
    """of the HTTP request: an order that another one has taken makes the answer a replay"""
    valid_until: Moment | None = None
    """by the database's clock; afterwards its caller may have asked elsewhere, and it must change nothing"""


class LockSeat(WorkflowMessage):
    """Asks to hold a seat."""

    request: SeatRequest
    now: Moment

    @property
    def valid_until(self) -> Moment | None:
        return self.request.valid_until


class HeldSeat(TeamAnswer):
    """The seat of an out_trade_no; `repeated`, when its order existed before this transaction."""

    admitted_by: str = ""
    """the request that took it"""


class RefusedSeat(WorkflowMessage):
    """The rule that refuses a seat."""

    code: ErrorCode
    detail: str


class SeatAnswer(WorkflowMessage):
    """The seat or its refusal. A refusal is an answer, not a failure: a retry would only repeat it."""

    held: HeldSeat | None = None
    refused: RefusedSeat | None = None
    """with neither, the request came after its `valid_until`, and nothing was changed"""


class ReleaseOverdue(WorkflowMessage):
    """Asks to cancel every unpaid order of a team whose window and grace are over at `now`."""

    team_id: str
    now: Moment
    out_trade_nos: list[str] = []
    """orders that the answer must cover, whatever has become of them"""


class PaymentReport(WorkflowMessage):
    """A payment as the mall reports it."""

    source: str
    out_trade_no: str
    order_id: str
    team_id: str
    amount: Money
    paid_at: Moment
    request_id: str = ""
    """of the HTTP request: a payment that another one has reported makes the answer a replay"""


class SettlePayment(WorkflowMessage):
    """Asks to book a payment."""

    report: PaymentReport
    now: Moment
    wakes_team: bool = False
    """not asked by the team's workflow, which has to take the change over"""


class SettledPayment(TeamAnswer):
    """What has become of a payment; `repeated`, when it was booked before this transaction."""

    admitted_by: str = ""
    """the request that reported it"""

    outcome: PaymentOutcome
    reason: PaymentReason | None = None
    refund_attempt: int | None = None
    """the unfinished refund that returns a payment which could not be settled"""
