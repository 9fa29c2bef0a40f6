"""Whether a buyer may take a seat, and at what price. The same rules, in the same order, serve the quote and the lock."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.campaigns import CampaignStatus
from domain.discounts import Discount, pay_price
from domain.errors import ErrorCode, Refusal
from domain.trade import Quote


@dataclass(frozen=True, slots=True)
class Offer:
    """A goods in a campaign as one buyer finds it: the present facts, read at one moment."""

    campaign_id: int
    campaign_version: int
    status: CampaignStatus
    starts_at: datetime
    ends_at: datetime
    target_count: int
    min_count: int | None
    lock_ttl: int
    payment_grace: int
    team_ttl: int
    refund_window: int
    take_limit: int
    discount: Discount
    goods_id: str
    goods_name: str
    original_price: Decimal
    live_orders: int
    """the buyer's live orders in this campaign"""
    stock_left: int | None

    @property
    def pay_price(self) -> Decimal:
        return pay_price(self.original_price, self.discount)


def against_opening(offer: Offer, now: datetime) -> ErrorCode | None:
    """Why the campaign lets nobody open a team now."""
    if offer.status is not CampaignStatus.ACTIVE:
        return ErrorCode.CAMPAIGN_INACTIVE
    return against_time(offer, now)


def against_joining(status: CampaignStatus) -> ErrorCode | None:
    """Why the campaign lets nobody into a running team, whose times are its own since it was opened."""
    return None if status in {CampaignStatus.ACTIVE, CampaignStatus.DRAINING} else ErrorCode.CAMPAIGN_INACTIVE


def against_time(offer: Offer, now: datetime) -> ErrorCode | None:
    return None if offer.starts_at <= now < offer.ends_at else ErrorCode.CAMPAIGN_NOT_OPEN


def against_another_order(offer: Offer) -> ErrorCode | None:
    return ErrorCode.TAKE_LIMIT_REACHED if offer.live_orders >= offer.take_limit else None


def against_another_sale(offer: Offer) -> ErrorCode | None:
    return ErrorCode.STOCK_EXHAUSTED if offer.stock_left is not None and offer.stock_left <= 0 else None


def reasons(offer: Offer, now: datetime) -> list[ErrorCode]:
    """Every code that stands against a seat for this buyer, in a team of his own or in a running one."""
    rules = (
        against_joining(offer.status),
        against_time(offer, now),
        against_another_order(offer),
        against_another_sale(offer),
    )
    return [code for code in rules if code is not None]


def require(code: ErrorCode | None, detail: str) -> None:
    """Raises Refusal when a rule above gave a code."""
    if code is not None:
        raise Refusal(code, detail)


def quote(offer: Offer, now: datetime) -> Quote:
    price = offer.pay_price
    against = reasons(offer, now)
    return Quote(
        campaign_id=offer.campaign_id,
        goods_id=offer.goods_id,
        goods_name=offer.goods_name,
        original_price=offer.original_price,
        deduction=offer.original_price - price,
        pay_price=price,
        target_count=offer.target_count,
        visible=True,
        joinable=not against,
        reasons=against,
        starts_at=offer.starts_at,
        ends_at=offer.ends_at,
    )
