"""Locking a seat: by the team's workflow, or directly.

Row locks are taken in one order everywhere: team, its wake-up, orders, user quotas, campaign stock.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

import asyncpg

from db.campaigns.offers import read_quote_context
from db.core.connection import Connection, Database, Row, connection, fetch_one
from db.core.planner_hints import IS_FORMING
from db.orders.queries import ORDER, OrderRecord, order_record
from db.orders.terms import TeamTerms, read_team_terms
from db.teams.rows import read_seats, read_team_row
from db.teams.wakeups import ADMITTED_DIRECTLY, wakeup_step
from domain.eligibility import SeatIntent, require_terms
from domain.errors import ErrorCode, Refusal, StaleRequestError
from domain.ids import order_id
from domain.lifecycle import OrderStatus, TeamStatus
from domain.messages.orders import HeldSeat, LockSeat, SeatRequest
from domain.messages.teams import SeatRow, TeamRow
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
  RETURNING *
), quota AS (
  INSERT INTO user_quotas AS q (campaign_id, source, user_id, live)
  SELECT team.campaign_id, $3, $5, 1 FROM "order", team
  ON CONFLICT (campaign_id, source, user_id) DO UPDATE SET live = q.live + 1 WHERE q.live < $10
  RETURNING campaign_id
), stock AS (
  UPDATE campaign_stock s SET live = s.live + 1 FROM quota WHERE s.campaign_id = quota.campaign_id AND s.live < s.stock
  RETURNING s.campaign_id
)
SELECT "order".*, team.deadline, team.version, team.payment_grace,
       groupbuy_all_or_nothing(
         (SELECT count(*) FROM team), (SELECT count(*) FROM "order"), (SELECT count(*) FROM quota),
         (SELECT count(*) FROM stock) >= (SELECT count(*) FROM campaign_stock s, team WHERE s.campaign_id = team.campaign_id))
  FROM (SELECT) AS one LEFT JOIN team ON true LEFT JOIN "order" ON true
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


async def lock_seat(database: Database, lock: LockSeat) -> HeldSeat:
    """Takes a seat for this out_trade_no, or returns the one that it has. Safe to repeat. For the team's workflow.

    Raises:
        StaleRequestError: `lock.valid_until` is over; nothing was changed.
        Refusal: goods_not_found, campaign_not_found, campaign_not_open (opener); team_not_found, team_closed, team_full
            (joiner); group_buying_suspended, user_outside_rollout, mall_blocked, campaign_inactive, audience_restricted,
            already_in_team, take_limit_reached, stock_exhausted, out_trade_no_reused.
    """
    async with connection(database) as conn:
        held, _ = await _lock(conn, lock, None, is_direct=False)
    return held


async def lock_seat_directly(
    database: Database, lock: LockSeat, *, terms: TeamTerms | None = None, was_asked_before: bool
) -> tuple[HeldSeat, OrderRecord]:
    """Takes the seat as `lock_seat` does, beside the team's workflow, and leaves a wake-up for it in the same commit.

    Returns its order, too, so that it need not be read.

    Args:
        database: the database.
        lock: the request, without `valid_until`.
        terms: of the team that is joined, as this request has read them a moment before; None: they are read now.
        was_asked_before: the workflow may be taking the seat right now. That is waited for; if the `valid_until` that it was
            given is over, it takes none afterwards, so that a refusal stays true.

    Raises:
        Refusal: as `lock_seat`.
    """
    async with connection(database) as conn:
        if was_asked_before:
            await conn.execute(WAIT, order_id(lock.request.source, lock.request.out_trade_no))
        held, order = await _lock(conn, lock, terms, is_direct=True)
    return held, order_record(order)


WAIT = "SELECT pg_advisory_xact_lock(hashtextextended($1, 7242003))"
"""as groupbuy_fence"""


async def _lock(conn: Connection, lock: LockSeat, terms: TeamTerms | None, *, is_direct: bool) -> tuple[HeldSeat, Row]:
    """Returns the seat, and the row of its order."""
    # No transaction: what comes first only reads, and the last statement takes the seat or changes nothing.
    try:
        if lock.request.opens_team:
            return await _open(conn, lock, is_direct=is_direct)
        return await _join(conn, lock, terms or await read_team_terms(conn, lock.request, lock.now), is_direct=is_direct)
    except Refusal as refusal:
        known = await _find_held(conn, lock.request)
        if known is not None:
            return known
        if refusal.code is ErrorCode.TEAM_FULL:  # or it has ended since it was read
            team = await fetch_one(conn, TEAM, lock.request.team_id)
            _require_open(lock, TeamStatus(team["status"]), team["deadline"])
        raise


async def _open(conn: Connection, lock: LockSeat, *, is_direct: bool) -> tuple[HeldSeat, Row]:
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
    return _new_seat(request, taken), taken


async def _join(conn: Connection, lock: LockSeat, terms: TeamTerms | None, *, is_direct: bool) -> tuple[HeldSeat, Row]:
    request = lock.request
    if terms is None or not terms.is_sold:
        raise Refusal(ErrorCode.TEAM_NOT_FOUND, f"There is no team {request.team_id} for these goods.")
    _require_open(lock, terms.status, terms.deadline)
    require_terms(terms.facts)
    values = _order_values(lock, terms.original_price, terms.pay_price, terms.merchant_share, terms.take_limit)
    taken = await _take(conn, request, ErrorCode.TEAM_FULL, JOIN_TEAM_DIRECTLY if is_direct else JOIN_TEAM, *values)
    return _new_seat(request, taken), taken


TEAM = "SELECT status, deadline FROM teams WHERE team_id = $1"


def _require_open(lock: LockSeat, status: TeamStatus, deadline: datetime) -> None:
    if not is_joinable(status, deadline, lock.now):
        raise Refusal(ErrorCode.TEAM_CLOSED, f"Team {lock.request.team_id} accepts no more members.")


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
    """Takes the seat, and returns its order with the team; if a step finds nothing, raises its refusal and takes nothing."""
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


def _new_seat(request: SeatRequest, taken: Row) -> HeldSeat:
    seat = SeatRow(
        out_trade_no=request.out_trade_no,
        user_id=request.user_id,
        status=OrderStatus.LOCKED,
        live=True,
        keep_until=keep_until(taken["lock_expires_at"], taken["payment_grace"]),
    )
    team = TeamRow(status=TeamStatus.FORMING, version=taken["version"], deadline=taken["deadline"])
    return HeldSeat(team=team, seats=[seat], admitted_by=request.request_id)


async def _find_held(conn: Connection, request: SeatRequest) -> tuple[HeldSeat, Row] | None:
    """Returns the seat that this out_trade_no has already, and the row of its order.

    Raises:
        Refusal: out_trade_no_reused, when its request had other content.
    """
    row = await conn.fetchrow(ORDER, request.source, request.out_trade_no)
    if row is None:
        return None
    requested = OrderContent(request.user_id, request.goods_id, request.channel, request.opens_team, request.team_id)
    existing = OrderContent(row["user_id"], row["goods_id"], row["channel"], row["opened_team"], row["team_id"])
    require_same_content(request.out_trade_no, requested, existing)
    team = await read_team_row(conn, request.team_id)
    seats = await read_seats(conn, request.team_id, [request.out_trade_no])
    return HeldSeat(team=team, seats=seats, repeated=True, admitted_by=row["admitted_by"]), row
