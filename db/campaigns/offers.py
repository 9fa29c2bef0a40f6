"""Reads the offer (the same for every buyer) and the state of one buyer, apart for caches or in one statement."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from db.campaigns.store import LIVE_ORDERS
from db.core.connection import Connection, Row
from domain.eligibility import Facts, SeatIntent
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import CampaignStatus
from domain.messages.orders import SeatRequest
from domain.pricing import parse_discount
from domain.quotes import BuyerState, Offer, QuoteContext, quote_context
from domain.schemas.campaigns import AudienceScope
from domain.schemas.quotes import QuoteRequest
from domain.switches import parse_switches


def is_member(audience: str, user: str) -> str:
    """Returns SQL: whether a user is in an audience. An unknown or never imported audience has no members."""
    return f"""EXISTS (SELECT FROM audiences a JOIN audience_members m USING (import_id)
                        WHERE a.audience_id = {audience} AND m.user_id = {user})"""


SWITCHES = "(SELECT jsonb_object_agg(name, value) FROM switches)"

# The same for every buyer, so that it can be cached until an operator changes it.
OFFER_COLUMNS = """
b.source, b.channel, c.campaign_id, c.version AS campaign_version, c.status, c.starts_at, c.ends_at, c.target_count,
c.min_count, c.lock_ttl, c.payment_grace, c.team_ttl, c.refund_window, c.take_limit, c.discount, c.merchant_share, c.audience,
c.audience_scope, g.goods_id, g.name AS goods_name, g.original_price
"""
OFFER_TABLES = "campaign_goods b JOIN campaigns c USING (campaign_id) JOIN goods g USING (goods_id)"
# Twin of domain.quotes.rank_offer, at $5.
OFFERS_IN_ORDER = """
  CROSS JOIN LATERAL (
    SELECT CASE WHEN c.status IN ('draft', 'ended') THEN 3 WHEN c.ends_at <= $5 THEN 2 WHEN c.starts_at > $5 THEN 1 ELSE 0 END
  ) AS offered (rank)
 WHERE b.source = $1 AND b.channel = $2 AND b.goods_id = $3 AND ($4::int IS NULL OR b.campaign_id = $4)
 ORDER BY offered.rank, CASE offered.rank WHEN 1 THEN c.starts_at - $5 WHEN 2 THEN $5 - c.ends_at END, c.updated_at DESC
"""
OFFERS_AHEAD = 20
"""more than begin or end while an offer is cached"""
OFFERS = f"SELECT {OFFER_COLUMNS} FROM {OFFER_TABLES} {OFFERS_IN_ORDER} LIMIT {OFFERS_AHEAD}"

# $1 campaigns, $2 sources, $3 users, $4 the campaigns' audiences, $5 the discounts', one of each a buyer. They are looked up by
# key: with joins, the plan for any number of buyers would read whole tables.
BUYER_STATES = f"""
SELECT b.user_id,
       coalesce((SELECT live FROM user_quotas q
                  WHERE q.campaign_id = b.campaign_id AND q.source = b.source AND q.user_id = b.user_id), 0) AS live_orders,
       (SELECT stock - live FROM campaign_stock s WHERE s.campaign_id = b.campaign_id) AS stock_left,
       {is_member("b.audience", "b.user_id")} AS in_audience,
       {is_member("b.discount_audience", "b.user_id")} AS in_discount_audience
  FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY
       AS b (campaign_id, source, user_id, audience, discount_audience, position)
 ORDER BY b.position
"""

# Both and the switches, in one statement.
QUOTE_CONTEXT = f"""
SELECT {OFFER_COLUMNS},
       coalesce(q.live, 0) AS live_orders, s.stock - s.live AS stock_left,
       {is_member("c.audience", "$6")} AS in_audience,
       {is_member("c.discount ->> 'audience'", "$6")} AS in_discount_audience,
       {SWITCHES} AS switches
  FROM {OFFER_TABLES}
  LEFT JOIN user_quotas q ON q.campaign_id = c.campaign_id AND q.source = b.source AND q.user_id = $6
  LEFT JOIN campaign_stock s ON s.campaign_id = c.campaign_id
 {OFFERS_IN_ORDER} LIMIT 1
"""

GOODS_EXIST = "SELECT EXISTS (SELECT FROM goods WHERE goods_id = $1)"


async def read_quote_context(
    conn: Connection,
    source: str,
    request: QuoteRequest | SeatRequest,
    now: datetime,
    intent: SeatIntent = SeatIntent.EITHER,
) -> QuoteContext:
    """Reads the campaign that sells these goods in this channel, and the buyer's state.

    The campaign is the named one, else the one that domain.quotes.rank_offer ranks first.

    Raises:
        Refusal: goods_not_found, campaign_not_found.
    """
    goods = (source, request.channel, request.goods_id, request.campaign_id)
    row = await conn.fetchrow(QUOTE_CONTEXT, *goods, now, request.user_id)
    if row is None:
        raise await _not_sold(conn, source, request.channel, request.goods_id, request.campaign_id)
    return quote_context(_offer(row), _buyer_state(row, request.user_id), parse_switches(row["switches"]), intent, now)


async def read_offers(
    conn: Connection, source: str, channel: str, goods_id: str, campaign_id: int | None, now: datetime
) -> list[Offer]:
    """Reads the offers of these goods in this channel, of the named campaign or of each, those to be offered first on top.

    Raises:
        Refusal: goods_not_found, campaign_not_found.
    """
    rows = await conn.fetch(OFFERS, source, channel, goods_id, campaign_id, now)
    if not rows:
        raise await _not_sold(conn, source, channel, goods_id, campaign_id)
    return [_offer(row) for row in rows]


async def read_buyer_states(conn: Connection, buyers: Sequence[tuple[Offer, str]]) -> list[BuyerState]:
    """Reads the states of buyers alone, each for an offer; returns them in this order."""
    of_each = [(o.campaign_id, o.source, user_id, o.audience, o.discount.audience) for o, user_id in buyers]
    return [_buyer_state(row, row["user_id"]) for row in await conn.fetch(BUYER_STATES, *zip(*of_each, strict=True))]


STOCK_TAKEN = f"SELECT coalesce((SELECT live FROM campaign_stock WHERE campaign_id = $1), {LIVE_ORDERS})"


async def read_context_of(conn: Connection, offer: Offer, stock: int | None, user_id: str, now: datetime) -> QuoteContext:
    """Reads what a quote would be computed from if a campaign with this stock made this offer."""
    [buyer] = await read_buyer_states(conn, [(offer, user_id)])
    taken = 0 if stock is None else await conn.fetchval(STOCK_TAKEN, offer.campaign_id)
    switches = parse_switches(await conn.fetchval(f"SELECT {SWITCHES}"))
    buyer = replace(buyer, stock_left=None if stock is None else stock - taken)
    return quote_context(offer, buyer, switches, SeatIntent.EITHER, now)


async def _not_sold(conn: Connection, source: str, channel: str, goods_id: str, campaign_id: int | None) -> Refusal:
    if not await conn.fetchval(GOODS_EXIST, goods_id):
        return Refusal(ErrorCode.GOODS_NOT_FOUND, f"There are no goods {goods_id}.")
    campaign = "No campaign" if campaign_id is None else f"No campaign {campaign_id}"
    return Refusal(ErrorCode.CAMPAIGN_NOT_FOUND, f"{campaign} sells goods {goods_id} in channel {channel} of {source}.")


def _offer(row: Row) -> Offer:
    return Offer(
        source=row["source"],
        channel=row["channel"],
        campaign_id=row["campaign_id"],
        campaign_version=row["campaign_version"],
        status=CampaignStatus(row["status"]),
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        target_count=row["target_count"],
        min_count=row["min_count"],
        lock_ttl=row["lock_ttl"],
        payment_grace=row["payment_grace"],
        team_ttl=row["team_ttl"],
        refund_window=row["refund_window"],
        take_limit=row["take_limit"],
        discount=parse_discount(row["discount"]),
        merchant_share=row["merchant_share"],
        audience=row["audience"],
        audience_scope=_scope(row),
        goods_id=row["goods_id"],
        goods_name=row["goods_name"],
        original_price=row["original_price"],
    )


def _buyer_state(row: Row, user_id: str) -> BuyerState:
    return BuyerState(
        user_id=user_id,
        live_orders=row["live_orders"],
        stock_left=row["stock_left"],
        in_audience=row["in_audience"],
        in_discount_audience=row["in_discount_audience"],
    )


def _scope(row: Row) -> tuple[AudienceScope, ...]:
    return tuple(AudienceScope(each) for each in row["audience_scope"])


# --- the facts that are checked when a buyer joins a running team ---


def campaign_terms(user: str) -> str:
    """Returns SQL: the columns that `join_facts` reads, of the campaign `c`."""
    return f"""
       c.campaign_id AS campaign_no, c.status AS campaign_status, c.starts_at AS campaign_starts_at,
       c.ends_at AS campaign_ends_at, c.audience AS campaign_audience, c.audience_scope,
       {is_member("c.audience", user)} AS in_audience, {SWITCHES} AS switches"""


def join_facts(row: Row, request: SeatRequest, now: datetime) -> Facts:
    """Builds the facts of a join from campaign_terms. Without counts: the statement that takes the seat checks those."""
    return Facts(
        intent=SeatIntent.JOIN,
        now=now,
        source=request.source,
        channel=request.channel,
        goods_id=request.goods_id,
        user_id=request.user_id,
        switches=parse_switches(row["switches"]),
        campaign_id=row["campaign_no"],
        status=CampaignStatus(row["campaign_status"]),
        starts_at=row["campaign_starts_at"],
        ends_at=row["campaign_ends_at"],
        audience=row["campaign_audience"],
        audience_scope=_scope(row),
        in_audience=row["in_audience"],
    )
