"""The public JSON of orders and payments."""

from domain.lifecycle import CancelReason, OrderStatus, PaymentOutcome, PaymentReason
from domain.schemas.callback_settings import Callback
from domain.schemas.teams import Team
from domain.schemas.workflows import WorkflowLink
from domain.types import CampaignId, Identifier, Moment, Money, Schema, TeamId


class NewOrder(Schema):
    """A request for a seat. Without `team_id` it opens a team."""

    out_trade_no: Identifier
    user_id: Identifier
    goods_id: Identifier
    channel: Identifier
    campaign_id: CampaignId | None = None
    team_id: TeamId | None = None
    callback: Callback | None = None
    """where the events of the order are sent; null: where the mall's setting says"""


class Order(Schema):
    """One buyer's seat in a team, as it is now."""

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
    merchant_deduction: Money
    platform_deduction: Money
    """who bears the deduction: the parts add up to it"""
    pay_price: Money
    locked_at: Moment
    lock_expires_at: Moment
    """end of the payment window"""
    paid_at: Moment | None
    cancel_reason: CancelReason | None
    workflow: WorkflowLink


class Payment(Schema):
    """A payment that the mall has received. It is never refused, only settled or returned."""

    amount: Money
    paid_at: Moment


class Settlement(Schema):
    """What a payment led to, and its order and team as they are now."""

    outcome: PaymentOutcome
    reason: PaymentReason | None = None
    """why the payment is returned; null: it is not"""
    order: Order
    team: Team


class OpsOrder(Order):
    """An order as operators see it."""

    source: str
    owed: bool
    """its payment has yet to be returned"""
