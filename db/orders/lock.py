"""Locking a seat.

Row locks are taken in one order everywhere: team, orders, user quotas, campaign stock.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

import asyncpg

from db.campaigns.offers import campaign_terms, is_member, join_facts, read_quote_context
from db.core.connection import Connection, Database, Row, connection, fetch_one
from db.core.planner_hints import IS_FORMING
from db.teams.rows import read_seats, read_team_row
from domain.eligibility import SeatIntent, require_terms
from domain.errors import ErrorCode, Refusal
from domain.ids import order_id
from domain.lifecycle import OrderStatus, TeamStatus
from domain.messages.orders import HeldSeat, LockSeat, SeatRequest
from domain.messages.teams import SeatRow, TeamRow
from domain.pricing import parse_discount, pay_price
from domain.seats import OrderContent, is_joinable, keep_until, require_same_content, team_deadline

# One statement takes the seat: each step uses the row of the step before, and where one finds nothing the whole statement fails
# and names it (db/functions/all_or_nothing.sql). Twin of domain.seats.lock_expiry, and of check_take_limit and check_stock in
# domain.eligibility.
TAKE_SEAT = """
, "order" AS (
  INSERT INTO orders (order_id, source, out_trade_no, user_id, team_id, opened_team, campaign_id, goods_id, channel, status,
                      live, original_price, deduction, pay_price, take_limit, callback_kind, callback_address,
                      callback_format, locked_at, lock_expires_at)
  SELECT $2, $3, $4, $5, team.team_id, $6, team.campaign_id, team.goods_id, $7, 'locked',
         true, $8, $8 - $9::numeric, $9, $10, $11, $12,
         $13, $14::timestamptz, least($14::timestamptz + team.lock_ttl * interval '1 second', team.deadline)
    FROM team
  ON CONFLICT DO NOTHING
  RETURNING order_id, lock_expires_at
), quota AS (
  INSERT INTO user_quotas AS q (campaign_id, source, user_id, live)
  SELECT team.campaign_id, $3, $5, 1 FROM "order", team
  ON CONFLICT (campaign_id, source, user_id) DO UPDATE SET live = q.live + 1 WHERE q.live < $10
  RETURNING campaign_id
), stock AS (
  UPDATE campaign_stock s SET live = s.live + 1 FROM quota WHERE s.campaign_id = quota.campaign_id AND s.live < s.stock
  RETURNING s.campaign_id
)
SELECT (SELECT lock_expires_at FROM "order") AS lock_expires_at, (SELECT deadline FROM team) AS deadline,
       (SELECT version FROM team) AS version,
       groupbuy_all_or_nothing(
         (SELECT count(*) FROM team), (SELECT count(*) FROM "order"), (SELECT count(*) FROM quota),
         (SELECT count(*) FROM stock) >= (SELECT count(*) FROM campaign_stock s, team WHERE s.campaign_id = team.campaign_id))
"""

# The campaign is read again, and locked against its shutdown, which must not miss a team. Twin of STATUSES_WITH_SEATS in
# domain.eligibility.
OPEN_TEAM = (
    """
WITH team AS (
  INSERT INTO teams (team_id, source, campaign_id, campaign_version, goods_id, original_price, discount, target_count,
                     min_count, lock_ttl, payment_grace, refund_window, status, lock_count, complete_count, version,
                     opened_at, deadline)
  SELECT $1, $3, campaign_id, $16, $17, $8, $18, $19, $20, $21, $22, $23, 'forming', 1, 0, 1, $14, $24
    FROM campaigns WHERE campaign_id = $15 AND status = 'active'
  ON CONFLICT (team_id) DO NOTHING
  RETURNING team_id, campaign_id, goods_id, lock_ttl, deadline, version
)"""
    + TAKE_SEAT
)

# Twin of domain.seats.can_take_seat.
JOIN_TEAM = (
    f"""
WITH team AS (
  UPDATE teams SET lock_count = lock_count + 1, version = version + 1
   WHERE team_id = $1 AND {IS_FORMING} AND deadline > $14 AND lock_count < target_count
  RETURNING team_id, campaign_id, goods_id, lock_ttl, deadline, version
)"""
    + TAKE_SEAT
)

JOINED_TEAM = f"""
SELECT t.*, c.take_limit, {campaign_terms("$6")},
       {is_member("t.discount ->> 'audience'", "$6")} AS in_discount_audience
  FROM teams t JOIN campaigns c USING (campaign_id)
 WHERE t.team_id = $1 AND t.source = $2 AND t.goods_id = $3 AND ($5::int IS NULL OR t.campaign_id = $5)
   -- A team goes on in the channel that it was opened in, also after its campaign stopped selling the goods there.
   AND (EXISTS (SELECT FROM campaign_goods b WHERE b.campaign_id = t.campaign_id AND b.source = t.source
                   AND b.goods_id = t.goods_id AND b.channel = $4)
        OR EXISTS (SELECT FROM orders o WHERE o.team_id = t.team_id AND o.opened_team AND o.channel = $4))
"""

HELD_SEAT = """
SELECT o.user_id, o.goods_id, o.channel, o.opened_team, o.team_id FROM orders o
 WHERE o.source = $1 AND o.out_trade_no = $2
"""


async def lock_seat(database: Database, lock: LockSeat) -> HeldSeat:
    """Takes a seat for this out_trade_no, or returns the one that it has. Safe to repeat.

    Raises:
        Refusal: goods_not_found, campaign_not_found, campaign_not_open (opener); team_not_found, team_closed, team_full
            (joiner); group_buying_suspended, user_outside_rollout, mall_blocked, campaign_inactive, audience_restricted,
            already_in_team, take_limit_reached, stock_exhausted, out_trade_no_reused.
    """
    async with connection(database) as conn:
        # No transaction: the first statement only reads, and the second one takes the seat or changes nothing.
        try:
            return await (_open(conn, lock) if lock.request.opens_team else _join(conn, lock))
        except Refusal:
            known = await _find_held(conn, lock.request)
            if known is None:
                raise
            return known


async def _open(conn: Connection, lock: LockSeat) -> HeldSeat:
    request, now = lock.request, lock.now
    found = await read_quote_context(conn, request.source, request, now, SeatIntent.OPEN)
    require_terms(found.facts)
    offer, price = found.offer, found.pay_price
    taken = await _take(
        conn,
        request,
        # Or the campaign's status changed since the read above. A repeat is answered from its order by lock_seat.
        ErrorCode.CAMPAIGN_INACTIVE,
        OPEN_TEAM,
        *_order_values(request, now, offer.original_price, price, offer.take_limit),
        offer.campaign_id,
        offer.campaign_version,
        offer.goods_id,
        offer.discount.model_dump_json(),
        offer.target_count,
        offer.min_count,
        offer.lock_ttl,
        offer.payment_grace,
        offer.refund_window,
        team_deadline(now, offer.team_ttl, offer.ends_at),
    )
    return _new_seat(request, taken, offer.payment_grace)


async def _join(conn: Connection, lock: LockSeat) -> HeldSeat:
    request, now = lock.request, lock.now
    team = await conn.fetchrow(
        JOINED_TEAM,
        request.team_id,
        request.source,
        request.goods_id,
        request.channel,
        request.campaign_id,
        request.user_id,
    )
    if team is None:
        raise Refusal(ErrorCode.TEAM_NOT_FOUND, f"There is no team {request.team_id} for these goods.")
    _require_open(team, now)
    require_terms(join_facts(team, request, now))
    # The team pins the discount; whether the audience's discount applies depends on the buyer.
    price = pay_price(team["original_price"], parse_discount(team["discount"]), in_audience=team["in_discount_audience"])
    values = _order_values(request, now, team["original_price"], price, team["take_limit"])
    try:
        taken = await _take(conn, request, ErrorCode.TEAM_FULL, JOIN_TEAM, *values)
    except Refusal as refusal:
        if refusal.code is ErrorCode.TEAM_FULL:  # or it has ended since the read above
            _require_open(await fetch_one(conn, TEAM, request.team_id), now)
        raise
    return _new_seat(request, taken, team["payment_grace"])


TEAM = "SELECT team_id, status, deadline FROM teams WHERE team_id = $1"


def _require_open(team: Row, now: datetime) -> None:
    if not is_joinable(TeamStatus(team["status"]), team["deadline"], now):
        raise Refusal(ErrorCode.TEAM_CLOSED, f"Team {team['team_id']} accepts no more members.")


def _order_values(request: SeatRequest, now: datetime, original: Decimal, price: Decimal, take_limit: int) -> tuple[Any, ...]:
    """The parameters $1 to $14 of TAKE_SEAT."""
    callback = request.callback
    return (
        request.team_id,
        order_id(request.source, request.out_trade_no),
        request.source,
        request.out_trade_no,
        request.user_id,
        request.opens_team,
        request.channel,
        original,
        price,
        take_limit,
        callback and callback.kind,
        callback and callback.address,
        callback.format if callback else "standard",
        now,
    )


STEP_TOOK_NOTHING = "GB001"


async def _take(conn: Connection, request: SeatRequest, no_team: ErrorCode, sql: str, *values: object) -> Row:
    """Takes the seat; if a step finds nothing, takes nothing and raises that step's refusal."""
    try:
        return await fetch_one(conn, sql, *values)
    except asyncpg.PostgresError as failure:
        if failure.sqlstate != STEP_TOOK_NOTHING:
            raise
        match failure.as_dict().get("detail"):
            case "team":
                raise Refusal(no_team, f"Team {request.team_id} has no seat for {request.out_trade_no}.") from None
            case "order":
                seated = f"{request.user_id} has a seat in team {request.team_id} already."
                raise Refusal(ErrorCode.ALREADY_IN_TEAM, seated) from None
            case "quota":
                limit = f"{request.user_id} has reached the limit of this campaign."
                raise Refusal(ErrorCode.TAKE_LIMIT_REACHED, limit) from None
            case _:
                raise Refusal(ErrorCode.STOCK_EXHAUSTED, "The campaign has nothing left.") from None


def _new_seat(request: SeatRequest, taken: Row, payment_grace: int) -> HeldSeat:
    seat = SeatRow(
        out_trade_no=request.out_trade_no,
        user_id=request.user_id,
        status=OrderStatus.LOCKED,
        live=True,
        keep_until=keep_until(taken["lock_expires_at"], payment_grace),
    )
    team = TeamRow(status=TeamStatus.FORMING, version=taken["version"], deadline=taken["deadline"])
    return HeldSeat(team=team, seats=[seat])


async def _find_held(conn: Connection, request: SeatRequest) -> HeldSeat | None:
    """Returns the seat that this out_trade_no has already.

    Raises:
        Refusal: out_trade_no_reused, when its request had other content.
    """
    row = await conn.fetchrow(HELD_SEAT, request.source, request.out_trade_no)
    if row is None:
        return None
    requested = OrderContent(request.user_id, request.goods_id, request.channel, request.opens_team, request.team_id)
    existing = OrderContent(row["user_id"], row["goods_id"], row["channel"], row["opened_team"], row["team_id"])
    require_same_content(request.out_trade_no, requested, existing)
    team = await read_team_row(conn, request.team_id)
    return HeldSeat(team=team, seats=await read_seats(conn, request.team_id, [request.out_trade_no]), repeated=True)
