"""Reads from the rows what a team's workflow has to know and to do."""

from db.core.connection import Database, connection
from db.core.planner_hints import IS_PENDING
from db.teams.rows import TEAM, seat_row, team_row
from domain.lifecycle import TeamStatus
from domain.messages.teams import TeamAnswer, TeamRows

LIVE_SEATS = """
SELECT o.out_trade_no, o.user_id, o.status, o.live, o.lock_expires_at, t.payment_grace
  FROM orders o JOIN teams t USING (team_id) WHERE o.team_id = $1 AND o.live ORDER BY o.locked_at, o.out_trade_no
"""
# Events of a refund, and the cancellation of an order by its buyer or an operator, are delivered by the refund's workflow.
UNDELIVERED = f"""
SELECT DISTINCT e.event_id FROM events e JOIN deliveries d USING (event_id)
 WHERE e.team_id = $1 AND d.{IS_PENDING} AND e.type NOT IN ('order.refund_requested', 'order.refunded')
   AND NOT (e.type = 'order.cancelled' AND EXISTS (SELECT FROM refunds r WHERE r.order_id = e.order_id AND r.kind = 'unpaid'))
 ORDER BY e.event_id
"""
OWED = "SELECT count(*) FROM orders WHERE team_id = $1 AND status = 'paid'"


async def take_over(database: Database, team_id: str) -> TeamRows:
    """Reads a team's rows in one snapshot, so that version and seats belong together."""
    async with connection(database) as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        team = await conn.fetchrow(TEAM, team_id)
        if team is None:
            return TeamRows()
        seats = [seat_row(row) for row in await conn.fetch(LIVE_SEATS, team_id)]
        events = [row["event_id"] for row in await conn.fetch(UNDELIVERED, team_id)]
        has_failed = team["status"] == TeamStatus.FAILED
        owed: int = await conn.fetchval(OWED, team_id) if has_failed else 0
    return TeamRows(rows=TeamAnswer(team=team_row(team), seats=seats, event_ids=events), owed=owed)
