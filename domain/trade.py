"""What malls and operators see of a trade: order, team, payment, quote (design.md section 8)."""

from typing import Annotated, Literal

from pydantic import Field, HttpUrl

from domain.errors import ErrorCode
from domain.states import CancelReason, Completion, FailReason, OrderStatus, PaymentOutcome, PaymentReason, TeamStatus
from domain.values import CampaignId, Identifier, Message, Moment, Money, Name, TeamId


class HttpCallback(Message):
    kind: Literal["http"]
    url: Annotated[HttpUrl, Field(max_length=2048)]


class AmqpCallback(Message):
    kind: Literal["amqp"]
    routing_key: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9._-]+$")]


Callback = Annotated[HttpCallback | AmqpCallback, Field(discriminator="kind")]
"""Where the events of an order go."""


class QuoteRequest(Message):
    goods_id: Identifier
    channel: Identifier
    user_id: Identifier
    campaign_id: CampaignId | None = None


class Quote(Message):
    campaign_id: int
    goods_id: str
    goods_name: str
    original_price: Money
    deduction: Money
    pay_price: Money
    target_count: int
    visible: bool
    joinable: bool
    reasons: list[ErrorCode]
    starts_at: Moment
    ends_at: Moment


Input = bool | int | str | list[str] | None


class RuleResult(Message):
    """What one rule looked at, and what it says."""

    rule: str
    passed: bool
    code: ErrorCode | None
    inputs: dict[str, Input]


class ExplainedQuote(Quote):
    rules: list[RuleResult]


class NewOrder(Message):
    """A request for a seat: without `team_id` it opens a team."""

    out_trade_no: Identifier
    user_id: Identifier
    goods_id: Identifier
    channel: Identifier
    campaign_id: CampaignId | None = None
    team_id: TeamId | None = None
    callback: Callback | None = None


class WorkflowLink(Message):
    id: str
    url: str | None = None
    """its history in the Temporal UI, where that is configured"""


class Order(Message):
    order_id: str
    out_trade_no: str
    user_id: str
    team_id: str
    campaign_id: int
    goods_id: str
    channel: str
    status: OrderStatus
    original_price: Money
    deduction: Money
    pay_price: Money
    locked_at: Moment
    lock_expires_at: Moment
    paid_at: Moment | None
    cancel_reason: CancelReason | None
    workflow: WorkflowLink


class Member(Message):
    user_id: str
    out_trade_no: str
    status: OrderStatus


class Team(Message):
    team_id: str
    campaign_id: int
    goods_id: str
    status: TeamStatus
    target_count: int
    lock_count: int
    complete_count: int
    opened_at: Moment
    deadline: Moment
    completed_at: Moment | None
    members: list[Member]
    workflow: WorkflowLink


class Payment(Message):
    """A payment that the mall has taken. It is a fact: it is never refused."""

    amount: Money
    paid_at: Moment


class MarketMember(Message):
    user_id: str
    """masked, unless it is the buyer's own"""
    status: OrderStatus


class MarketTeam(Message):
    """A team with free seats, as a buyer finds it."""

    team_id: str
    campaign_id: int
    target_count: int
    lock_count: int
    complete_count: int
    seats_left: int
    opened_at: Moment
    deadline: Moment
    mine: bool
    """the buyer has a seat in it"""
    members: list[MarketMember]
    """the first ones who hold a seat"""


class Statistics(Message):
    """Of one campaign in one mall, since it began: what is undone stays counted."""

    team_count: int
    completed_team_count: int
    user_count: int


class Market(Message):
    quote: Quote
    teams: list[MarketTeam]
    statistics: Statistics


class Settlement(Message):
    outcome: PaymentOutcome
    reason: PaymentReason | None = None
    order: Order
    team: Team


class OpsOrder(Order):
    source: str
    owed: bool
    """its money waits to go back: paid in a failed team, or a payment that could not be settled"""


class OpsTeam(Message):
    source: str
    team_id: str
    campaign_id: int
    campaign_version: int
    goods_id: str
    status: TeamStatus
    completion: Completion | None
    fail_reason: FailReason | None
    target_count: int
    lock_count: int
    complete_count: int
    opened_at: Moment
    deadline: Moment
    completed_at: Moment | None
    workflow: WorkflowLink


class Goods(Message):
    goods_id: Identifier
    name: Name
    original_price: Money
