"""Locking a seat: by the team's workflow, or directly.

Row locks are taken in one order everywhere: team, its wake-up, orders, user quotas, campaign stock.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

import asyncpg

from db.campaigns.offers import campaign_terms, is_member, join_facts, read_quote_context
from db.core.connection import Connection, Database, Row, connection, fetch_one
from db.core.planner_hints import IS_FORMING
from db.teams.rows import read_seats, read_team_row
from db.teams.wakeups import ADMITTED_DIRECTLY, wakeup_step
from domain.eligibility import SeatIntent, require_terms
from domain.errors import ErrorCode, Refusal, StaleRequestError
from domain.ids import order_id
from domain.lifecycle import OrderStatus, TeamStatus
from domain.messages.orders import HeldSeat, LockSeat, SeatRequest
from domain.messages.teams import SeatRow, TeamRow
from domain.pricing import parse_discount, pay_price
from domain.seats import OrderContent, is_joinable, keep_until, require_same_content, team_deadline
from domain.settlements import split_deduction

# One statement takes the seat: each step uses the row of the step before, and where one finds nothing the whole statement fails
# and names it (db/functions/all_or_nothing.sql). Twin of domain.seats.lock_expiry, and of check_take_limit and check_stock in
# domain.eligibility.
FENCE = """
WITH fence AS MATERIALIZED (SELECT groupbuy_fence($2, $16))
"""
TAKE_SEAT = """
, "order" AS (
  INSERT INTO orders (order_id, source, out_trade_no, user_id, team_id, opened_team, campaign_id, goods_id, channel, status,
                      live, original_price, deduction, merchant_deduction, pay_price, take_limit, callback_kind,
                      callback_address, callback_format, locked_at, lock_expires_at, admitted_by)
  SELECT $2, $3, $4, $5, team.team_id, $6, team.campaign_id, team.goods_id, $7, 'locked',
         true, $8, $8 - $9::numeric, $17, $9, $10, $11, $12,
         $13, $14::timestamptz, least($14::timestamptz + team.lock_ttl * interval '1 second', team.deadline), $15
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
# domain.eligibility. {admitted} is the way in.
OPEN = (
    FENCE
    + """
, team AS (
  INSERT INTO teams (team_id, source, campaign_id, campaign_version, goods_id, original_price, discount, merchant_share,
                     target_count, min_count, lock_ttl, payment_grace, refund_window, status, lock_count, complete_count,
                     version, opened_at, deadline, admitted)
  SELECT $1, $3, campaign_id, $19, $20, $8, $21, $28, $22, $23, $24, $25, $26, 'forming', 1, 0, 1, $14, $27, '{admitted}'
    FROM campaigns, fence WHERE campaign_id = $18 AND status = 'active'
  ON CONFLICT (team_id) DO NOTHING
  RETURNING team_id, campaign_id, goods_id, lock_ttl, payment_grace, deadline, version
){wakeup}"""
    + TAKE_SEAT
)

# Twin of domain.seats.can_take_seat. The fence comes first: who waits there holds no row.
JOIN = (
    FENCE
    + f"""
, team AS (
  UPDATE teams SET lock_count = lock_count + 1, version = version + 1{{admission}}
    FROM fence
   WHERE team_id = $1 AND {IS_FORMING} AND deadline > $14 AND lock_count < target_count
  RETURNING team_id, campaign_id, goods_id, lock_ttl, payment_grace, deadline, version
){{wakeup}}"""
    + TAKE_SEAT
)
SEAT_DUE = """(SELECT least($14::timestamptz + lock_ttl * interval '1 second', deadline) + payment_grace * interval '1 second'
     FROM team)"""
WAKEUP = f""", wakeup AS ({wakeup_step("team", now="$14::timestamptz", due_at=SEAT_DUE, locks=1)})"""
OPEN_TEAM = OPEN.format(admitted="orchestrated", wakeup="")
OPEN_TEAM_DIRECTLY = OPEN.format(admitted="direct", wakeup=WAKEUP)
JOIN_TEAM = JOIN.format(admission="", wakeup="")
JOIN_TEAM_DIRECTLY = JOIN.format(admission=ADMITTED_DIRECTLY, wakeup=WAKEUP)

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
SELECT o.user_id, o.goods_id, o.channel, o.opened_team, o.team_id, o.admitted_by FROM orders o
 WHERE o.source = $1 AND o.out_trade_no = $2
"""


async def lock_seat(database: Database, lock: LockSeat) -> HeldSeat:
    """Takes a seat for this out_trade_no, or returns the one that it has. Safe to repeat. For the team's workflow.

    Raises:
        StaleRequestError: `lock.valid_until` is over; nothing was changed.
        Refusal: goods_not_found, campaign_not_found, campaign_not_open (opener); team_not_found, team_closed, team_full
            (joiner); group_buying_suspended, user_outside_rollout, mall_blocked, campaign_inactive, audience_restricted,
            already_in_team, take_limit_reached, stock_exhausted, out_trade_no_reused.
    """
    async with connection(database) as conn:
        return await _lock(conn, lock, is_direct=False)


async def lock_seat_directly(database: Database, lock: LockSeat, *, was_asked_before: bool) -> HeldSeat:
    """Takes the seat as `lock_seat` does, beside the team's workflow, and leaves a wake-up for it in the same commit.

    Args:
        database: the database.
        lock: the request, without `valid_until`.
        was_asked_before: the workflow may be taking the seat right now. That is waited for; if the `valid_until` that it was
            given is over, it takes none afterwards, so that a refusal stays true.

    Raises:
        Refusal: as `lock_seat`.
    """
    async with connection(database) as conn:
        if was_asked_before:
            await conn.execute(WAIT, order_id(lock.request.source, lock.request.out_trade_no))
        return await _lock(conn, lock, is_direct=True)


WAIT = "SELECT pg_advisory_xact_lock(hashtextextended($1, 7242003))"
"""as groupbuy_fence"""


async def _lock(conn: Connection, lock: LockSeat, *, is_direct: bool) -> HeldSeat:
    # No transaction: the first statement only reads, and the second one takes the seat or changes nothing.
    try:
        return await (_open if lock.request.opens_team else _join)(conn, lock, is_direct=is_direct)
    except Refusal as refusal:
        known = await _find_held(conn, lock.request)
        if known is not None:
            return known
        if refusal.code is ErrorCode.TEAM_FULL:  # or it has ended since it was read
            _require_open(await fetch_one(conn, TEAM, lock.request.team_id), lock.now)
        raise


async def _open(conn: Connection, lock: LockSeat, *, is_direct: bool) -> HeldSeat:
    request, now = lock.request, lock.now
    found = await read_quote_context(conn, request.source, request, now, SeatIntent.OPEN)
    require_terms(found.facts)
    offer, price = found.offer, found.pay_price
    taken = await _take(
        conn,
        request,
        # Or the campaign's status changed since the read above. A repeat is answered from its order by lock_seat.
        ErrorCode.CAMPAIGN_INACTIVE,
        OPEN_TEAM_DIRECTLY if is_direct else OPEN_TEAM,
        *_order_values(lock, offer.original_price, price, offer.merchant_share, offer.take_limit),
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
        offer.merchant_share,
    )
    return _new_seat(request, taken, offer.payment_grace)


async def _join(conn: Connection, lock: LockSeat, *, is_direct: bool) -> HeldSeat:
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
    # The team pins the discount and its share; whether the audience's discount applies depends on the buyer.
    price = pay_price(team["original_price"], parse_discount(team["discount"]), in_audience=team["in_discount_audience"])
    values = _order_values(lock, team["original_price"], price, team["merchant_share"], team["take_limit"])
    taken = await _take(conn, request, ErrorCode.TEAM_FULL, JOIN_TEAM_DIRECTLY if is_direct else JOIN_TEAM, *values)
    return _new_seat(request, taken, team["payment_grace"])


TEAM = "SELECT team_id, status, deadline FROM teams WHERE team_id = $1"


def _require_open(team: Row, now: datetime) -> None:
    if not is_joinable(TeamStatus(team["status"]), team["deadline"], now):
        raise Refusal(ErrorCode.TEAM_CLOSED, f"Team {team['team_id']} accepts no more members.")


def _order_values(lock: LockSeat, original: Decimal, price: Decimal, merchant_share: int, take_limit: int) -> tuple[Any, ...]:
    """The parameters $1 to $17 of TAKE_SEAT and FENCE."""
    request = lock.request
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
        lock.now,
        request.request_id,
        lock.valid_until,
        split_deduction(original - price, merchant_share).merchant,
    )


STEP_TOOK_NOTHING, OUT_OF_DATE, REMOVED = "GB001", "GB002", "GB003"


async def _take(conn: Connection, request: SeatRequest, no_team: ErrorCode, sql: str, *values: object) -> Row:
    """Takes the seat; if a step finds nothing, takes nothing and raises that step's refusal."""
    try:
        return await fetch_one(conn, sql, *values)
    except asyncpg.PostgresError as failure:
        if failure.sqlstate == OUT_OF_DATE:
            raise StaleRequestError(request.out_trade_no) from None
        if failure.sqlstate == REMOVED:
            used = f"{request.out_trade_no} names an order that is kept no longer."
            raise Refusal(ErrorCode.OUT_TRADE_NO_REUSED, used) from None
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
    return HeldSeat(team=team, seats=[seat], admitted_by=request.request_id)


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
    seats = await read_seats(conn, request.team_id, [request.out_trade_no])
    return HeldSeat(team=team, seats=seats, repeated=True, admitted_by=row["admitted_by"])
