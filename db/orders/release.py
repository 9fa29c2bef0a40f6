"""Releasing seats: those whose payment window is over, all unpaid ones of a team, or one member's.

Row locks are taken in one order everywhere: team, its wake-up, orders, user quotas, campaign stock.
"""

from datetime import datetime, timedelta

from db.callbacks.outbox import record_order_events
from db.core.connection import Connection, Database, Row, connection, fetch_one, transaction
from db.core.planner_hints import IS_UNPAID
from db.teams.rows import read_seats, read_team_row, team_row
from db.teams.wakeups import LEAVE_ALL, leave_wakeup
from domain.lifecycle import CancelReason, FailReason, TeamStatus
from domain.messages.orders import ReleaseOverdue
from domain.messages.teams import TeamAnswer, TeamRow
from domain.schemas.events import EventType
from domain.seats import LATE_AFTER, team_after_release
from domain.wakeups import Urgency

LOCK_TEAM = "SELECT * FROM teams WHERE team_id = $1 FOR UPDATE"

# What follows a step `cancelled` that has cancelled unpaid orders: the quotas and the stock that their seats counted in. The
# quotas are locked in the order of their keys before they change, and the stock, so that two transactions that release seats of
# the same buyers, or of the same campaigns, at the same time cannot wait for each other.
RELEASE_QUOTAS = """
held AS MATERIALIZED (
  SELECT q.campaign_id, q.source, q.user_id
    FROM user_quotas q JOIN cancelled USING (campaign_id, source, user_id)
   ORDER BY q.campaign_id, q.source, q.user_id FOR UPDATE OF q
), quotas AS (
  UPDATE user_quotas q SET live = q.live - given.seats
    FROM (SELECT campaign_id, source, user_id, count(*) AS seats FROM held GROUP BY campaign_id, source, user_id) given
   WHERE (q.campaign_id, q.source, q.user_id) = (given.campaign_id, given.source, given.user_id)
  RETURNING q.campaign_id, given.seats
), held_stock AS MATERIALIZED (
  SELECT campaign_id FROM campaign_stock WHERE campaign_id IN (SELECT campaign_id FROM quotas) ORDER BY campaign_id FOR UPDATE
), stock AS (
  UPDATE campaign_stock s SET live = s.live - given.seats
    FROM (SELECT campaign_id, sum(seats) AS seats FROM quotas JOIN held_stock USING (campaign_id) GROUP BY campaign_id) given
   WHERE s.campaign_id = given.campaign_id
)"""

# Twin of domain.seats.is_overdue, where $4 is `now` less the grace. $5 is the team's version, one higher than before the
# transaction, whatever else that changes.
CANCEL_LOCKED = f"""
WITH cancelled AS (
  UPDATE orders SET status = 'cancelled', live = false, cancel_reason = $2, cancelled_at = $3
   WHERE team_id = $1 AND status = 'locked' AND ($4::timestamptz IS NULL OR lock_expires_at <= $4)
  RETURNING order_id, out_trade_no, campaign_id, source, user_id
), {RELEASE_QUOTAS}, team AS (
  UPDATE teams SET lock_count = lock_count - given.seats, version = $5
    FROM (SELECT count(*) AS seats FROM cancelled) given
   WHERE team_id = $1 AND given.seats > 0
)
SELECT order_id, out_trade_no FROM cancelled ORDER BY out_trade_no
"""


async def cancel_locked(
    conn: Connection,
    team: Row,
    reason: CancelReason,
    now: datetime,
    *,
    expired_by: datetime | None = None,
) -> tuple[list[str], list[str]]:
    """Cancels the unpaid orders of a locked team with their quotas; returns their out_trade_nos, and the events to deliver.

    Args:
        conn: in a transaction that holds the team's row lock, taken with LOCK_TEAM.
        team: the team's row.
        reason: why they end.
        now: when.
        expired_by: only those whose payment window was over at this moment; None: all of them.
    """
    cancelled: list[Row] = await conn.fetch(CANCEL_LOCKED, team["team_id"], reason, now, expired_by, team["version"] + 1)
    orders = [row["order_id"] for row in cancelled]
    event_ids = await record_order_events(conn, EventType.ORDER_CANCELLED, orders, now, reason=reason)
    return [row["out_trade_no"] for row in cancelled], event_ids


ABANDON = """
UPDATE teams SET status = 'failed', fail_reason = $2, failed_at = $3 WHERE team_id = $1 AND lock_count = 0
"""


async def release_overdue(database: Database, request: ReleaseOverdue, *, wakes_team: bool = False) -> TeamAnswer:
    """Cancels the orders of a team that are still unpaid after their window and grace; an emptied forming team fails.

    Cancels only locked orders, so never one whose payment was settled meanwhile. The answer has every requested order, which
    corrects a workflow's view that differs from the rows.

    Args:
        database: the database.
        request: the team.
        wakes_team: not asked by the team's workflow, which has to take the change over.
    """
    async with transaction(database) as conn:
        team = await fetch_one(conn, LOCK_TEAM, request.team_id)
        expired_by = request.now - timedelta(seconds=team["payment_grace"])
        cancelled, event_ids = await cancel_locked(conn, team, CancelReason.LOCK_TIMEOUT, request.now, expired_by=expired_by)
        status, seats_left = TeamStatus(team["status"]), team["lock_count"] - len(cancelled)
        after = team_after_release(status, seats_left=seats_left, was_paid=False)
        is_abandoned = status is TeamStatus.FORMING and after is TeamStatus.FAILED
        if wakes_team and cancelled:
            await leave_wakeup(conn, request.team_id, request.now)
        if is_abandoned:
            await conn.execute(ABANDON, request.team_id, FailReason.ABANDONED, request.now)
        return TeamAnswer(
            team=await read_team_row(conn, request.team_id),
            seats=await read_seats(conn, request.team_id, [*request.out_trade_nos, *cancelled]),
            decides_team=is_abandoned,
            event_ids=event_ids,
            # An order that this transaction did not cancel was released by an earlier one, whose answer may be lost.
            repeated=not {*cancelled}.issuperset(request.out_trade_nos),
        )


# Twin of domain.seats.is_overdue, at the moment $1. Teams that reconciliation failed with are left to it.
LATE = f"""
SELECT o.team_id FROM orders o JOIN teams t USING (team_id)
 WHERE o.{IS_UNPAID} AND o.lock_expires_at <= $1 AND o.lock_expires_at + t.payment_grace * interval '1 second' <= $1
   AND NOT EXISTS (SELECT FROM reconciliation_findings f WHERE f.kind = 'team' AND f.subject = o.team_id)
"""
HAS_LATE = f"SELECT EXISTS ({LATE})"
# A team that somebody changes at this moment is left to the next look.
LOCK_LATE_TEAMS = f"""
SELECT team_id FROM teams WHERE team_id IN ({LATE} ORDER BY o.lock_expires_at LIMIT $2)
 ORDER BY team_id FOR UPDATE SKIP LOCKED
"""


async def has_late_seats(database: Database, now: datetime) -> bool:
    """Whether a seat could have been released LATE_AFTER ago, and was not."""
    async with connection(database) as conn:
        return bool(await conn.fetchval(HAS_LATE, now - LATE_AFTER))


# Of many teams what `release_overdue` does of one: twin of domain.seats.is_overdue and team_after_release.
CANCEL_OVERDUE = f"""
WITH cancelled AS (
  UPDATE orders o SET status = 'cancelled', live = false, cancel_reason = $2, cancelled_at = $3
    FROM teams t
   WHERE t.team_id = ANY($1::text[]) AND o.team_id = t.team_id AND o.status = 'locked'
     AND o.lock_expires_at + t.payment_grace * interval '1 second' <= $3
  RETURNING o.order_id, o.team_id, o.campaign_id, o.source, o.user_id
), {RELEASE_QUOTAS}, team AS (
  UPDATE teams t
     SET lock_count = t.lock_count - given.seats, version = t.version + 1,
         status = CASE WHEN given.is_abandoned THEN 'failed' ELSE t.status END,
         fail_reason = CASE WHEN given.is_abandoned THEN $4 ELSE t.fail_reason END,
         failed_at = CASE WHEN given.is_abandoned THEN $3 ELSE t.failed_at END
    FROM (SELECT team_id, count(*) AS seats, count(*) = max(lock_count) AND max(status) = 'forming' AS is_abandoned
            FROM cancelled JOIN teams USING (team_id) GROUP BY team_id) given
   WHERE t.team_id = given.team_id
)
SELECT order_id, team_id FROM cancelled ORDER BY order_id
"""


async def release_late(database: Database, now: datetime, limit: int) -> int:
    """Releases the overdue seats of teams that have late ones, and wakes the teams; returns how many teams.

    Args:
        database: the database.
        now: when.
        limit: late seats, the longest overdue ones, to whose teams it is done at once.
    """
    reason = CancelReason.LOCK_TIMEOUT
    async with transaction(database) as conn:
        team_ids = [row["team_id"] for row in await conn.fetch(LOCK_LATE_TEAMS, now - LATE_AFTER, limit)]
        if team_ids:
            cancelled = await conn.fetch(CANCEL_OVERDUE, team_ids, reason, now, FailReason.ABANDONED)
            orders = [row["order_id"] for row in cancelled]
            await record_order_events(conn, EventType.ORDER_CANCELLED, orders, now, reason=reason)
            await conn.execute(LEAVE_ALL, [row["team_id"] for row in cancelled], now, Urgency.SEATS)
        return len(team_ids)


# Whether the mall's channel of order `o` is blocked. Twin of domain.switches.Switches.blocks.
IS_BLOCKED = """
EXISTS (SELECT FROM switches s WHERE s.name = 'blocked'
           AND s.value @> jsonb_build_array(jsonb_build_object('source', o.source, 'channel', o.channel)))
"""

# One order with its team, both locked, the team first.
LOCK_ORDER = f"""
WITH team AS MATERIALIZED (
  SELECT t.* FROM teams t WHERE t.team_id = (SELECT team_id FROM orders WHERE order_id = $1) FOR UPDATE
)
SELECT o.*, team.status AS team_status, team.target_count, team.complete_count, team.completed_at, team.refund_window,
       team.version, team.deadline, team.failed_at, team.payment_grace,
       {IS_BLOCKED} AS is_blocked
  FROM team JOIN orders o USING (team_id) WHERE o.order_id = $1 FOR UPDATE OF o
"""

# Twin of domain.seats.team_after_release.
RELEASE_SEAT = """
WITH freed AS (
  UPDATE orders SET live = false, {change} WHERE order_id = $1 AND live
  RETURNING team_id, campaign_id, source, user_id
), seat AS (
  UPDATE teams t
     SET lock_count = t.lock_count - 1, complete_count = t.complete_count - $3::int, version = t.version + 1,
         status = CASE WHEN t.status = 'failed' OR t.lock_count = 1 THEN 'failed'
                       WHEN t.status = 'completed' AND $3 = 1 THEN 'completed_with_refunds' ELSE t.status END,
         fail_reason = CASE WHEN t.status <> 'failed' AND t.lock_count = 1 THEN 'abandoned' ELSE t.fail_reason END,
         failed_at = CASE WHEN t.status <> 'failed' AND t.lock_count = 1 THEN $2 ELSE t.failed_at END,
         unearned_booked_at = NULL
    FROM freed WHERE t.team_id = freed.team_id
  RETURNING t.status, t.version, t.deadline, t.completed_at, t.refund_window
), quota AS (
  UPDATE user_quotas q SET live = q.live - 1 FROM freed
   WHERE (q.campaign_id, q.source, q.user_id) = (freed.campaign_id, freed.source, freed.user_id)
  RETURNING q.campaign_id
), stock AS (
  UPDATE campaign_stock s SET live = s.live - 1 FROM quota WHERE s.campaign_id = quota.campaign_id
)
SELECT * FROM seat
"""

CANCELLED = "status = 'cancelled', cancel_reason = $4, cancelled_at = $2"
RETURNED = "status = 'refunding'"
NOT_SETTLED = """
status = 'refunding', payment_reported_at = $2, payment_outcome = 'refunding', paid_amount = $4, paid_at = $5,
payment_admitted_by = $6, payment_reason = $7
"""


async def release_seat(conn: Connection, order: Row, change: str, now: datetime, *values: object, has_paid: bool) -> TeamRow:
    """Takes a live order out of its team: the seat, the quotas and the team's status follow; returns the team afterwards.

    Args:
        conn: in a transaction that holds the row locks of LOCK_ORDER.
        order: the row of LOCK_ORDER.
        change: the new status of the order: one of the constants above, whose own values are $4 and so on.
        now: when.
        values: those values.
        has_paid: whether the member counted as paid in the team.
    """
    team = await conn.fetchrow(RELEASE_SEAT.format(change=change), order["order_id"], now, int(has_paid), *values)
    if team is None:
        raise LookupError(f"order {order['order_id']} holds no seat")
    return team_row(team)
