"""What malls and operators see of a trade: order, team, payment, quote (design.md section 8)."""

from domain.lifecycle import (
    CancelReason,
    OrderStatus,
    PaymentOutcome,
    PaymentReason,
)
from domain.schemas.callback_settings import Callback
from domain.schemas.teams import Team
from domain.schemas.workflows import WorkflowLink
from domain.types import CampaignId, Identifier, Moment, Money, Schema, TeamId


class NewOrder(Schema):
    """A request for a seat: without `team_id` it opens a team."""

    out_trade_no: Identifier
    user_id: Identifier
    goods_id: Identifier
    channel: Identifier
    campaign_id: CampaignId | None = None
    team_id: TeamId | None = None
    callback: Callback | None = None


class Order(Schema):
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


class Payment(Schema):
    """A payment that the mall has taken. It is a fact: it is never refused."""

    amount: Money
    paid_at: Moment


class Settlement(Schema):
    outcome: PaymentOutcome
    reason: PaymentReason | None = None
    order: Order
    team: Team


class OpsOrder(Order):
    source: str
    owed: bool
    """its money waits to go back: paid in a failed team, or a payment that could not be settled"""
