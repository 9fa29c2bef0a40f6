"""Whether a buyer may take a seat, and at what price. The same rules, in the same order, serve the quote and the lock."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from domain.errors import ErrorCode, Refusal
from domain.lifecycle import CampaignStatus
from domain.pricing import Discount, pay_price
from domain.schemas.campaigns import Scope
from domain.schemas.quotes import ExplainedQuote, Input, Quote, RuleResult
from domain.switches import MallChannel, Switches
from domain.types import rfc3339


@dataclass(frozen=True, slots=True)
class Offer:
    """A goods in a campaign, in one place: the same for every buyer, until an operator changes it."""

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
    audience: str | None
    audience_scope: tuple[Scope, ...]
    goods_id: str
    goods_name: str
    original_price: Decimal


@dataclass(frozen=True, slots=True)
class BuyerState:
    """How one buyer stands to an offer at this moment."""

    user_id: str
    live_orders: int
    """the buyer's live orders in the campaign"""
    stock_left: int | None
    in_audience: bool
    """of the campaign; says nothing where it has none"""
    in_discount_audience: bool


class SeatIntent(StrEnum):
    """What kind of seat the rules are asked about."""

    OPEN = "open"
    JOIN = "join"
    """a running team, whose times are its own since it was opened"""
    EITHER = "either"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the rules look at: one wish for a seat, and what was read for it at one moment."""

    wish: SeatIntent
    now: datetime
    source: str
    channel: str
    goods_id: str
    user_id: str
    switches: Switches
    campaign_id: int
    status: CampaignStatus
    starts_at: datetime
    ends_at: datetime
    sold_here: bool = True
    """the campaign sells these goods in this place, or the team was opened there"""
    audience: str | None
    audience_scope: tuple[Scope, ...]
    in_audience: bool
    take_limit: int = 1
    live_orders: int = 0
    stock_left: int | None = None


@dataclass(frozen=True, slots=True)
class QuoteContext:
    """An offer, one buyer before it, and what the rules look at."""

    offer: Offer
    standing: BuyerState
    facts: Facts

    @property
    def pay_price(self) -> Decimal:
        return pay_price(self.offer.original_price, self.offer.discount, in_audience=self.standing.in_discount_audience)


def quote_context(offer: Offer, standing: BuyerState, switches: Switches, wish: SeatIntent, now: datetime) -> QuoteContext:
    facts = Facts(
        wish=wish,
        now=now,
        source=offer.source,
        channel=offer.channel,
        goods_id=offer.goods_id,
        user_id=standing.user_id,
        switches=switches,
        campaign_id=offer.campaign_id,
        status=offer.status,
        starts_at=offer.starts_at,
        ends_at=offer.ends_at,
        audience=offer.audience,
        audience_scope=offer.audience_scope,
        in_audience=standing.in_audience,
        take_limit=offer.take_limit,
        live_orders=standing.live_orders,
        stock_left=standing.stock_left,
    )
    return QuoteContext(offer, standing, facts)


# --- the rules: each gives its code, or nothing ---


def against_suspension(facts: Facts) -> ErrorCode | None:
    return ErrorCode.GROUP_BUYING_SUSPENDED if facts.switches.suspended else None


def bucket(user_id: str) -> int:
    """Where a user stands in the gradual rollout, from 0 to 99: for ever the same, and spread evenly."""
    return int.from_bytes(hashlib.sha256(f"rollout\x1f{user_id}".encode()).digest()[:8]) % 100


def against_rollout(facts: Facts) -> ErrorCode | None:
    percent = facts.switches.rollout
    # Nobody is hashed who need not be: 100 is what a switch says nearly always.
    return None if percent == 100 or bucket(facts.user_id) < percent else ErrorCode.USER_OUTSIDE_ROLLOUT


def against_block(facts: Facts) -> ErrorCode | None:
    return ErrorCode.MALL_BLOCKED if _is_blocked(facts) else None


def _is_blocked(facts: Facts) -> bool:
    blocked = facts.switches.blocked
    return bool(blocked) and MallChannel(source=facts.source, channel=facts.channel) in blocked


TAKES_SEATS = {
    SeatIntent.OPEN: {CampaignStatus.ACTIVE},
    SeatIntent.JOIN: {CampaignStatus.ACTIVE, CampaignStatus.DRAINING},
    SeatIntent.EITHER: {CampaignStatus.ACTIVE, CampaignStatus.DRAINING},
}


def against_campaign(facts: Facts) -> ErrorCode | None:
    if facts.status not in TAKES_SEATS[facts.wish]:
        return ErrorCode.CAMPAIGN_INACTIVE
    is_open = facts.wish is SeatIntent.JOIN or facts.starts_at <= facts.now < facts.ends_at
    return None if is_open else ErrorCode.CAMPAIGN_NOT_OPEN


def against_goods(facts: Facts) -> ErrorCode | None:
    return None if facts.sold_here else ErrorCode.CAMPAIGN_NOT_FOUND


def against_audience(facts: Facts) -> ErrorCode | None:
    """Who may not see an offer may not take it either."""
    return ErrorCode.AUDIENCE_RESTRICTED if facts.audience_scope and _is_outsider(facts) else None


def is_visible(facts: Facts) -> bool:
    return not (Scope.VISIBLE in facts.audience_scope and _is_outsider(facts))


def _is_outsider(facts: Facts) -> bool:
    return facts.audience is not None and not facts.in_audience


def against_another_order(facts: Facts) -> ErrorCode | None:
    return ErrorCode.TAKE_LIMIT_REACHED if facts.live_orders >= facts.take_limit else None


def against_another_sale(facts: Facts) -> ErrorCode | None:
    return ErrorCode.STOCK_EXHAUSTED if facts.stock_left is not None and facts.stock_left <= 0 else None


class Rule(NamedTuple):
    name: str
    against: Callable[[Facts], ErrorCode | None]
    inputs: Callable[[Facts], dict[str, Input]]
    says: str
    """to whom it refuses; `f` are the facts"""


TERMS = (
    Rule(
        "suspended",
        against_suspension,
        lambda f: {"suspended": f.switches.suspended},
        "Group buying is switched off; there are no new seats.",
    ),
    Rule(
        "rollout",
        against_rollout,
        lambda f: {"percent": f.switches.rollout, "bucket": bucket(f.user_id)},
        "Group buying is open to {f.switches.rollout} % of the users, and not yet to {f.user_id}.",
    ),
    Rule(
        "blocked",
        against_block,
        lambda f: {"source": f.source, "channel": f.channel, "blocked": _is_blocked(f)},
        "Channel {f.channel} of {f.source} may not trade now.",
    ),
    Rule(
        "campaign",
        against_campaign,
        lambda f: {
            "status": f.status,
            "starts_at": rfc3339(f.starts_at),
            "ends_at": rfc3339(f.ends_at),
            "now": rfc3339(f.now),
        },
        "Campaign {f.campaign_id}, {f.status} from {f.starts_at} to {f.ends_at}, takes no such seat now.",
    ),
    Rule(
        "goods",
        against_goods,
        lambda f: {"goods_id": f.goods_id, "source": f.source, "channel": f.channel, "campaign_id": f.campaign_id},
        "Campaign {f.campaign_id} does not sell goods {f.goods_id} in channel {f.channel} of {f.source}.",
    ),
    Rule(
        "audience",
        against_audience,
        lambda f: {"audience": f.audience, "scope": [*f.audience_scope], "member": not _is_outsider(f)},
        "Campaign {f.campaign_id} is not for {f.user_id}.",
    ),
)
"""What no other request can change between this look and the seat."""

COUNTS = (
    Rule(
        "take_limit",
        against_another_order,
        lambda f: {"take_limit": f.take_limit, "live_orders": f.live_orders},
        "{f.user_id} has reached the limit of campaign {f.campaign_id}.",
    ),
    Rule(
        "stock",
        against_another_sale,
        lambda f: {"stock_left": f.stock_left},
        "Campaign {f.campaign_id} has nothing left.",
    ),
)
"""What other requests count against, too: the statement that takes a seat has the last word."""

RULES = TERMS + COUNTS


def _require(rules: tuple[Rule, ...], facts: Facts) -> None:
    for rule in rules:
        if code := rule.against(facts):
            raise Refusal(code, rule.says.format(f=facts))


require_terms = partial(_require, TERMS)
"""Raises Refusal with the code of the first term that does not hold."""

require_all = partial(_require, RULES)
"""Raises Refusal with the code of the first rule that does not hold."""


def quote(asked: QuoteContext) -> Quote:
    offer, price = asked.offer, asked.pay_price
    reasons = [code for rule in RULES if (code := rule.against(asked.facts)) is not None]
    return Quote(
        campaign_id=offer.campaign_id,
        goods_id=offer.goods_id,
        goods_name=offer.goods_name,
        original_price=offer.original_price,
        deduction=offer.original_price - price,
        pay_price=price,
        target_count=offer.target_count,
        visible=is_visible(asked.facts),
        joinable=not reasons,
        reasons=reasons,
        starts_at=offer.starts_at,
        ends_at=offer.ends_at,
    )


def explained(asked: QuoteContext) -> ExplainedQuote:
    """The quote with every rule: what it looked at, and what it says."""
    rules = [_result(rule, asked.facts) for rule in RULES]
    return ExplainedQuote(**dict(quote(asked)), rules=rules)


def _result(rule: Rule, facts: Facts) -> RuleResult:
    code = rule.against(facts)
    return RuleResult(rule=rule.name, passed=code is None, code=code, inputs=rule.inputs(facts))
