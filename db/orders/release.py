"""Leaving a team: unpaid seats that are given up, and the one member who goes.

Row locks are taken in one order everywhere: team, orders, user quotas, campaign stock.
"""

from datetime import datetime, timedelta

from db.callbacks.outbox import record_order_events
from db.core.connection import Connection, Database, Row, fetch_one, transaction
from domain.ids import event_id
from domain.lifecycle import CancelReason, FailReason, TeamStatus
from domain.messages.orders import OverdueSeats, ReleasedSeats
from domain.schemas.events import EventType

LOCK_TEAM = "SELECT * FROM teams WHERE team_id = $1 FOR UPDATE"

# The quotas are locked in the order of their keys before they change: two teams that give back the seats of the same buyers
# at the same time cannot wait for each other.
CANCEL_LOCKED = """
WITH cancelled AS (
  UPDATE orders SET status = 'cancelled', live = false, cancel_reason = $2, cancelled_at = $3
   WHERE team_id = $1 AND status = 'locked' AND ($4::timestamptz IS NULL OR lock_expires_at <= $4)
  RETURNING order_id, out_trade_no, campaign_id, source, user_id
), held AS MATERIALIZED (
  SELECT q.campaign_id, q.source, q.user_id
    FROM user_quotas q JOIN cancelled USING (campaign_id, source, user_id)
   ORDER BY q.campaign_id, q.source, q.user_id FOR UPDATE OF q
), quotas AS (
  UPDATE user_quotas q SET live = q.live - 1 FROM held
   WHERE (q.campaign_id, q.source, q.user_id) = (held.campaign_id, held.source, held.user_id)
  RETURNING q.campaign_id
), stock AS (
  UPDATE campaign_stock s SET live = s.live - given.seats
    FROM (SELECT campaign_id, count(*) AS seats FROM quotas GROUP BY campaign_id) given
   WHERE s.campaign_id = given.campaign_id
), team AS (
  UPDATE teams SET lock_count = lock_count - (SELECT count(*) FROM cancelled) WHERE team_id = $1
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
) -> list[str]:
    """Ends the unpaid orders of a locked team with their quotas and events; returns their out_trade_nos.

    Args:
        conn: in a transaction that holds the team's row lock, taken with LOCK_TEAM.
        team: the team's row.
        reason: why they end.
        now: when.
        expired_by: only those whose payment window was over at this moment; None: all of them.
    """
    cancelled = await conn.fetch(CANCEL_LOCKED, team["team_id"], reason, now, expired_by)
    await record_order_events(conn, EventType.ORDER_CANCELLED, [row["order_id"] for row in cancelled], now, reason=reason)
    return [row["out_trade_no"] for row in cancelled]


ABANDON = "UPDATE teams SET status = 'failed', fail_reason = $2, failed_at = $3 WHERE team_id = $1 AND lock_count = 0"

# Who has come back since with a late payment was given up all the same, and the mall is to hear of both.
TIMED_OUT = """
SELECT order_id, out_trade_no, payment_outcome IS DISTINCT FROM 'reseated' AS is_gone FROM orders
 WHERE team_id = $1 AND out_trade_no = ANY($2::text[]) AND (cancel_reason = 'lock_timeout' OR payment_outcome = 'reseated')
"""


async def release_overdue(database: Database, overdue: OverdueSeats) -> ReleasedSeats:
    """Cancels the orders of a team that are still unpaid after their window and grace; an emptied forming team fails.

    It can only ever end unpaid orders: one whose payment was settled meanwhile is no longer `locked`.
    """
    async with transaction(database) as conn:
        team = await fetch_one(conn, LOCK_TEAM, overdue.team_id)
        expired_by = overdue.now - timedelta(seconds=team["payment_grace"])
        cancelled = await cancel_locked(conn, team, CancelReason.LOCK_TIMEOUT, overdue.now, expired_by=expired_by)
        status = TeamStatus(team["status"])
        if status is TeamStatus.FORMING and team["lock_count"] == len(cancelled):
            await conn.execute(ABANDON, overdue.team_id, FailReason.ABANDONED, overdue.now)
            status = TeamStatus.FAILED
        ended = await conn.fetch(TIMED_OUT, overdue.team_id, [*overdue.out_trade_nos, *cancelled])
    return ReleasedSeats(
        cancelled=[row["out_trade_no"] for row in ended if row["is_gone"]],
        team_status=status,
        event_ids=[event_id(EventType.ORDER_CANCELLED, row["order_id"]) for row in ended],
    )


# Whether the place where order `o` was made may not trade now.
IS_BLOCKED = """
EXISTS (SELECT FROM switches s WHERE s.name = 'blocked'
           AND s.value @> jsonb_build_array(jsonb_build_object('source', o.source, 'channel', o.channel)))
"""

# One order with its team, both locked, the team first. Whether its place may trade is a fact of this moment, too.
LOCK_ORDER = f"""
WITH team AS MATERIALIZED (
  SELECT t.* FROM teams t WHERE t.team_id = (SELECT team_id FROM orders WHERE order_id = $1) FOR UPDATE
)
SELECT o.*, team.status AS team_status, team.target_count, team.complete_count, team.completed_at, team.refund_window,
       {IS_BLOCKED} AS is_blocked
  FROM team JOIN orders o USING (team_id) WHERE o.order_id = $1 FOR UPDATE OF o
"""

RELEASE_SEAT = """
WITH freed AS (
  UPDATE orders SET live = false, {change} WHERE order_id = $1 AND live
  RETURNING team_id, campaign_id, source, user_id
), seat AS (
  UPDATE teams t
     SET lock_count = t.lock_count - 1, complete_count = t.complete_count - $3::int,
         status = CASE WHEN t.status = 'failed' OR t.lock_count = 1 THEN 'failed'
                       WHEN t.status = 'completed' AND $3 = 1 THEN 'completed_with_refunds' ELSE t.status END,
         fail_reason = CASE WHEN t.status <> 'failed' AND t.lock_count = 1 THEN 'abandoned' ELSE t.fail_reason END,
         failed_at = CASE WHEN t.status <> 'failed' AND t.lock_count = 1 THEN $2 ELSE t.failed_at END
    FROM freed WHERE t.team_id = freed.team_id
  RETURNING t.status
), quota AS (
  UPDATE user_quotas q SET live = q.live - 1 FROM freed
   WHERE (q.campaign_id, q.source, q.user_id) = (freed.campaign_id, freed.source, freed.user_id)
  RETURNING q.campaign_id
), stock AS (
  UPDATE campaign_stock s SET live = s.live - 1 FROM quota WHERE s.campaign_id = quota.campaign_id
)
SELECT status FROM seat
"""

CANCELLED = "status = 'cancelled', cancel_reason = $4, cancelled_at = $2"
RETURNED = "status = 'refunding'"
NOT_SETTLED = """
status = 'refunding', payment_reported_at = $2, payment_outcome = 'refunding', paid_amount = $4, paid_at = $5,
payment_reason = $6
"""


async def release_seat(conn: Connection, order: Row, change: str, now: datetime, *values: object, has_paid: bool) -> TeamStatus:
    """Takes a live order out of its team: the seat, the quotas and the team's status follow; returns that status.

    Args:
        conn: in a transaction that holds the row locks of LOCK_ORDER.
        order: the row of LOCK_ORDER.
        change: what becomes of the order: one of the constants above, whose own values are $4 and so on.
        now: when.
        values: those values.
        has_paid: whether the member counted as paid in the team.
    """
    status = await conn.fetchval(RELEASE_SEAT.format(change=change), order["order_id"], now, int(has_paid), *values)
    if status is None:
        raise LookupError(f"order {order['order_id']} holds no seat")
    return TeamStatus(status)
