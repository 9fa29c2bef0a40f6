"""The rules for who may take a seat (docs/rules.md). The quote and the lock apply them in the same order."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from domain.errors import ErrorCode, Refusal
from domain.lifecycle import CampaignStatus
from domain.schemas.campaigns import AudienceScope
from domain.schemas.quotes import Input
from domain.switches import Switches
from domain.types import rfc3339


class SeatIntent(StrEnum):
    """The kind of seat that a buyer asks for."""

    OPEN = "open"
    """the first seat of a new team"""
    JOIN = "join"
    """a seat in a running team, whose deadline was fixed when it was opened"""
    EITHER = "either"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The input of the rules: one request for a seat, and what was read for it at one moment."""

    intent: SeatIntent
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
    sold_in_channel: bool = True
    """the campaign sells these goods in this channel, or the team was opened in it"""
    audience: str | None
    audience_scope: tuple[AudienceScope, ...]
    in_audience: bool
    take_limit: int = 1
    live_orders: int = 0
    stock_left: int | None = None


# --- the rules: each returns the code that it refuses with, or None ---


def check_suspension(facts: Facts) -> ErrorCode | None:
    return ErrorCode.GROUP_BUYING_SUSPENDED if facts.switches.suspended else None


def rollout_bucket(user_id: str) -> int:
    """Returns a user's bucket in the gradual rollout, from 0 to 99: stable for ever, and evenly distributed."""
    return int.from_bytes(hashlib.sha256(f"rollout\x1f{user_id}".encode()).digest()[:8]) % 100


def check_rollout(facts: Facts) -> ErrorCode | None:
    percent = facts.switches.rollout
    # 100 is the usual value, and needs no hash.
    return None if percent == 100 or rollout_bucket(facts.user_id) < percent else ErrorCode.USER_OUTSIDE_ROLLOUT


def check_channel_block(facts: Facts) -> ErrorCode | None:
    return ErrorCode.MALL_BLOCKED if facts.switches.blocks(facts.source, facts.channel) else None


STATUSES_WITH_SEATS = {
    SeatIntent.OPEN: {CampaignStatus.ACTIVE},
    SeatIntent.JOIN: {CampaignStatus.ACTIVE, CampaignStatus.DRAINING},
    SeatIntent.EITHER: {CampaignStatus.ACTIVE, CampaignStatus.DRAINING},
}


def check_campaign(facts: Facts) -> ErrorCode | None:
    if facts.status not in STATUSES_WITH_SEATS[facts.intent]:
        return ErrorCode.CAMPAIGN_INACTIVE
    is_open = facts.intent is SeatIntent.JOIN or facts.starts_at <= facts.now < facts.ends_at
    return None if is_open else ErrorCode.CAMPAIGN_NOT_OPEN


def check_goods(facts: Facts) -> ErrorCode | None:
    return None if facts.sold_in_channel else ErrorCode.CAMPAIGN_NOT_FOUND


def check_audience(facts: Facts) -> ErrorCode | None:
    """A user who may not see an offer may not take it either: both scopes refuse an outsider."""
    return ErrorCode.AUDIENCE_RESTRICTED if facts.audience_scope and _is_outsider(facts) else None


def is_visible(facts: Facts) -> bool:
    return not (AudienceScope.VISIBLE in facts.audience_scope and _is_outsider(facts))


def _is_outsider(facts: Facts) -> bool:
    return facts.audience is not None and not facts.in_audience


def check_take_limit(facts: Facts) -> ErrorCode | None:
    return ErrorCode.TAKE_LIMIT_REACHED if facts.live_orders >= facts.take_limit else None


def check_stock(facts: Facts) -> ErrorCode | None:
    return ErrorCode.STOCK_EXHAUSTED if facts.stock_left is not None and facts.stock_left <= 0 else None


class Rule(NamedTuple):
    name: str
    check: Callable[[Facts], ErrorCode | None]
    inputs: Callable[[Facts], dict[str, Input]]
    """the facts that the rule reads, for an explained quote"""
    message: str
    """the refusal's detail; a format string whose `f` is the facts"""


TERMS = (
    Rule(
        "suspended",
        check_suspension,
        lambda f: {"suspended": f.switches.suspended},
        "Group buying is suspended: no seats are sold now.",
    ),
    Rule(
        "rollout",
        check_rollout,
        lambda f: {"percent": f.switches.rollout, "bucket": rollout_bucket(f.user_id)},
        "Group buying is open to {f.switches.rollout} % of the users, and not yet to {f.user_id}.",
    ),
    Rule(
        "blocked",
        check_channel_block,
        lambda f: {"source": f.source, "channel": f.channel, "blocked": f.switches.blocks(f.source, f.channel)},
        "Channel {f.channel} of mall {f.source} is blocked.",
    ),
    Rule(
        "campaign",
        check_campaign,
        lambda f: {
            "status": f.status,
            "starts_at": rfc3339(f.starts_at),
            "ends_at": rfc3339(f.ends_at),
            "now": rfc3339(f.now),
        },
        "Campaign {f.campaign_id} ({f.status}, from {f.starts_at} to {f.ends_at}) sells no such seat now.",
    ),
    Rule(
        "goods",
        check_goods,
        lambda f: {"goods_id": f.goods_id, "source": f.source, "channel": f.channel, "campaign_id": f.campaign_id},
        "Campaign {f.campaign_id} does not sell goods {f.goods_id} in channel {f.channel} of mall {f.source}.",
    ),
    Rule(
        "audience",
        check_audience,
        lambda f: {"audience": f.audience, "scope": [*f.audience_scope], "member": not _is_outsider(f)},
        "Campaign {f.campaign_id} is restricted to an audience that {f.user_id} is not in.",
    ),
)
"""Rules whose facts no other buyer's request can change between the read and the seat."""

COUNTS = (
    Rule(
        "take_limit",
        check_take_limit,
        lambda f: {"take_limit": f.take_limit, "live_orders": f.live_orders},
        "{f.user_id} has reached the take limit of campaign {f.campaign_id}.",
    ),
    Rule(
        "stock",
        check_stock,
        lambda f: {"stock_left": f.stock_left},
        "The stock of campaign {f.campaign_id} is exhausted.",
    ),
)
"""Rules over counters that concurrent requests change. The statement that takes the seat decides them (db/orders/lock.py)."""

RULES = TERMS + COUNTS


def _require(rules: tuple[Rule, ...], facts: Facts) -> None:
    for rule in rules:
        if code := rule.check(facts):
            raise Refusal(code, rule.message.format(f=facts))


require_terms = partial(_require, TERMS)
"""Raises Refusal with the code of the first of TERMS that refuses."""

require_all = partial(_require, RULES)
"""Raises Refusal with the code of the first of RULES that refuses."""
