"""Quotes: the price of an offer for one buyer, and whether the buyer may take a seat."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import IntEnum

from domain.eligibility import RULES, Facts, Rule, SeatIntent, is_visible
from domain.lifecycle import SELLING, CampaignStatus
from domain.pricing import Discount, pay_price
from domain.schemas.campaigns import AudienceScope, CampaignFields, CampaignGoods
from domain.schemas.goods import Goods
from domain.schemas.quotes import ExplainedQuote, Quote, RuleResult
from domain.switches import Switches


@dataclass(frozen=True, slots=True)
class Offer:
    """Goods that a campaign sells in one channel of one mall. The same for every buyer, until an operator changes it."""

    source: str
    channel: str
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
    merchant_share: int
    audience: str | None
    audience_scope: tuple[AudienceScope, ...]
    goods_id: str
    goods_name: str
    original_price: Decimal


def offer_of(campaign_id: int, campaign: CampaignFields, sold: CampaignGoods, goods: Goods) -> Offer:
    """Returns the offer that a campaign with these fields would make of one of its goods.

    Args:
        campaign_id: whose buyers' orders count; 0 for a campaign that is new.
        campaign: its fields.
        sold: where it sells the goods.
        goods: their name and price.
    """
    return Offer(
        source=sold.source,
        channel=sold.channel,
        campaign_id=campaign_id,
        campaign_version=0,
        status=campaign.status,
        starts_at=campaign.starts_at,
        ends_at=campaign.ends_at,
        target_count=campaign.target_count,
        min_count=campaign.min_count,
        lock_ttl=campaign.lock_ttl,
        payment_grace=campaign.payment_grace,
        team_ttl=campaign.team_ttl,
        refund_window=campaign.refund_window,
        take_limit=campaign.take_limit,
        discount=campaign.discount,
        merchant_share=campaign.merchant_share,
        audience=campaign.audience,
        audience_scope=campaign.audience_scope,
        goods_id=goods.goods_id,
        goods_name=goods.name,
        original_price=goods.original_price,
    )


class OfferRank(IntEnum):
    """Which of several campaigns for the same goods is offered: the lowest rank, and of one rank the nearest in time."""

    OPEN = 0
    """its window is now; only one campaign's is"""
    AHEAD = 1
    OVER = 2
    UNOFFERED = 3
    """a draft, or ended: of these the latest changed"""


def rank_offer(status: CampaignStatus, starts_at: datetime, ends_at: datetime, now: datetime) -> tuple[OfferRank, timedelta]:
    """Returns the rank of a campaign's offer, and its distance in time; the least is offered."""
    if status not in SELLING:
        return OfferRank.UNOFFERED, timedelta()
    if ends_at <= now:
        return OfferRank.OVER, now - ends_at
    return (OfferRank.AHEAD, starts_at - now) if starts_at > now else (OfferRank.OPEN, timedelta())


def choose_offer(offers: Sequence[Offer], now: datetime) -> Offer:
    """Returns the one that is offered now, of offers whose campaigns are sorted by their latest change."""
    return min(offers, key=lambda offer: rank_offer(offer.status, offer.starts_at, offer.ends_at, now))


@dataclass(frozen=True, slots=True)
class BuyerState:
    """What was read of one buyer, and of the stock, for an offer at one moment."""

    user_id: str
    live_orders: int
    """the buyer's live orders in the campaign"""
    stock_left: int | None
    """None: the campaign has no stock limit"""
    in_audience: bool
    """member of the campaign's audience; false where the campaign has none"""
    in_discount_audience: bool
    """member of the discount's audience; false where the discount has none"""


@dataclass(frozen=True, slots=True)
class QuoteContext:
    """An offer, the state of the buyer who asks for it, and the facts that the rules are applied to."""

    offer: Offer
    buyer: BuyerState
    facts: Facts

    @property
    def pay_price(self) -> Decimal:
        return pay_price(self.offer.original_price, self.offer.discount, in_audience=self.buyer.in_discount_audience)


def quote_context(offer: Offer, buyer: BuyerState, switches: Switches, intent: SeatIntent, now: datetime) -> QuoteContext:
    facts = Facts(
        intent=intent,
        now=now,
        source=offer.source,
        channel=offer.channel,
        goods_id=offer.goods_id,
        user_id=buyer.user_id,
        switches=switches,
        campaign_id=offer.campaign_id,
        status=offer.status,
        starts_at=offer.starts_at,
        ends_at=offer.ends_at,
        audience=offer.audience,
        audience_scope=offer.audience_scope,
        in_audience=buyer.in_audience,
        take_limit=offer.take_limit,
        live_orders=buyer.live_orders,
        stock_left=buyer.stock_left,
    )
    return QuoteContext(offer, buyer, facts)


def quote(context: QuoteContext) -> Quote:
    offer, price = context.offer, context.pay_price
    reasons = [code for rule in RULES if (code := rule.check(context.facts)) is not None]
    return Quote(
        campaign_id=offer.campaign_id,
        goods_id=offer.goods_id,
        goods_name=offer.goods_name,
        original_price=offer.original_price,
        deduction=offer.original_price - price,
        pay_price=price,
        target_count=offer.target_count,
        visible=is_visible(context.facts),
        joinable=not reasons,
        reasons=reasons,
        starts_at=offer.starts_at,
        ends_at=offer.ends_at,
    )


def explained_quote(context: QuoteContext) -> ExplainedQuote:
    """Returns the quote with the inputs and the result of every rule."""
    rules = [_result(rule, context.facts) for rule in RULES]
    return ExplainedQuote(**dict(quote(context)), rules=rules)


def _result(rule: Rule, facts: Facts) -> RuleResult:
    code = rule.check(facts)
    return RuleResult(rule=rule.name, passed=code is None, code=code, inputs=rule.inputs(facts))
