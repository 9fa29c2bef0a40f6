"""Reads everything that happened to a team, or to one of its orders."""

from db.core.connection import Database, connection
from domain.schemas.timeline import TimelineEntry

# `rank` orders what has the same time: a transaction writes its facts with one. `number` counts from the oldest, so that it
# stays while newer ones are added.
TIMELINE = """
WITH seats AS MATERIALIZED (
  SELECT * FROM orders WHERE team_id = $1 AND ($2::text IS NULL OR order_id = $2)
), facts AS MATERIALIZED (
  SELECT e.*, o.out_trade_no, o.user_id FROM events e LEFT JOIN seats o USING (order_id)
   WHERE e.team_id = $1 AND ($2::text IS NULL OR e.order_id IS NULL OR e.order_id = $2)
), subjects AS (
  SELECT 'team/' || $1 AS subject, NULL AS order_id, NULL AS out_trade_no, NULL AS user_id, NULL AS event_id
  UNION ALL
  SELECT kind || order_id, order_id, out_trade_no, user_id, NULL FROM seats, unnest(ARRAY['refund/', 'payment_conflict/']) kind
  UNION ALL
  SELECT 'callback/' || event_id, order_id, out_trade_no, user_id, event_id FROM facts
)
SELECT number, at, kind, order_id, out_trade_no, user_id, amount, code, detail, by, event_id FROM (
SELECT *, row_number() OVER (ORDER BY at, rank, order_id, event_id, code) AS number FROM (
  SELECT opened_at AS at, 1 AS rank, 'team_opened' AS kind, NULL AS order_id, NULL AS out_trade_no, NULL AS user_id,
         NULL::numeric AS amount, NULL AS code, NULL AS detail, NULL AS by, NULL AS event_id
    FROM teams WHERE team_id = $1
  UNION ALL
  SELECT locked_at, 2, 'seat_locked', order_id, out_trade_no, user_id, pay_price, NULL, NULL, NULL, NULL FROM seats
  UNION ALL
  SELECT payment_reported_at, 3, 'payment', order_id, out_trade_no, user_id, paid_amount, payment_outcome, payment_reason,
         NULL, NULL
    FROM seats WHERE payment_reported_at IS NOT NULL
  UNION ALL
  SELECT cancelled_at, 4, 'seat_cancelled', order_id, out_trade_no, user_id, NULL, cancel_reason, NULL, NULL, NULL
    FROM seats WHERE cancelled_at IS NOT NULL
  UNION ALL
  SELECT completed_at, 5, 'team_completed', NULL, NULL, NULL, NULL, completion, NULL, NULL, NULL
    FROM teams WHERE team_id = $1 AND completed_at IS NOT NULL
  UNION ALL
  SELECT failed_at, 5, 'team_failed', NULL, NULL, NULL, NULL, fail_reason, NULL, NULL, NULL
    FROM teams WHERE team_id = $1 AND failed_at IS NOT NULL
  UNION ALL
  SELECT c.reported_at, 6, 'payment_conflict', order_id, o.out_trade_no, o.user_id, c.amount, NULL, NULL, NULL, NULL
    FROM payment_conflicts c JOIN seats o USING (order_id)
  UNION ALL
  SELECT r.requested_at, 6, 'refund_requested', order_id, o.out_trade_no, o.user_id, r.amount, r.kind, r.reason, r.operator,
         NULL
    FROM refunds r JOIN seats o USING (order_id)
  UNION ALL
  SELECT r.released_at, 7, 'refund_released', order_id, o.out_trade_no, o.user_id, r.amount, r.kind, r.answer, NULL, NULL
    FROM refunds r JOIN seats o USING (order_id) WHERE r.released_at IS NOT NULL
  UNION ALL
  SELECT r.finished_at, 9, 'refund_finished', order_id, o.out_trade_no, o.user_id, r.amount, r.status, r.note, r.operator, NULL
    FROM refunds r JOIN seats o USING (order_id) WHERE r.finished_at IS NOT NULL
  UNION ALL
  SELECT booked_at, 9, 'unearned', NULL, NULL, NULL, merchant + platform, stayed || ' / ' || needed, platform::text, NULL, NULL
    FROM unearned_discounts WHERE team_id = $1 AND $2::text IS NULL
  UNION ALL
  SELECT occurred_at, 8, 'event', order_id, out_trade_no, user_id, NULL, type, NULL, NULL, event_id FROM facts
  UNION ALL
  SELECT a.started_at, 8, 'attempt', f.order_id, f.out_trade_no, f.user_id, NULL, f.type,
         coalesce(a.error, a.http_status::text), a.address, a.event_id
    FROM delivery_attempts a JOIN facts f USING (event_id)
  UNION ALL
  SELECT c.changed_at, 9, 'act', s.order_id, s.out_trade_no, s.user_id, NULL, c.action, concat_ws(' – ', c.reason, c.outcome),
         c.changed_by, s.event_id
    FROM subjects s CROSS JOIN LATERAL (SELECT * FROM changes WHERE changes.subject = s.subject OFFSET 0) c
  UNION ALL
  SELECT c.begun_at, 4, 'campaign_ended', NULL, NULL, NULL, NULL, NULL, c.reason, c.begun_by, NULL
    FROM teams t JOIN campaign_shutdown_teams USING (campaign_id, team_id) JOIN campaign_shutdowns c USING (campaign_id)
   WHERE t.team_id = $1
) entries) numbered WHERE $4::bigint IS NULL OR number < $4 ORDER BY number DESC LIMIT $3
"""


async def read_timeline(
    database: Database, team_id: str, order_id: str | None = None, before: int | None = None, limit: int = 500
) -> list[TimelineEntry]:
    """Returns the latest entries of a team, oldest first.

    Args:
        database: the database.
        team_id: the team.
        order_id: only what concerns this order, or the whole team.
        before: only entries whose number is lower.
        limit: how many at most; there are older ones if the number of the first is not 1.
    """
    async with connection(database) as conn:
        rows = await conn.fetch(TIMELINE, team_id, order_id, limit, before)
    return [TimelineEntry(**row) for row in reversed(rows)]
