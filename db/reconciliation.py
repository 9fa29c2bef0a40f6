"""Finding what no live workflow does any more."""

from datetime import datetime, timedelta

from db.core.connection import Database, connection
from domain.messages.reconciliation import Leftovers

AT_ONCE = 100
FIRST_TRY_WITHIN = timedelta(seconds=30)
"""longer than a callback may take"""

# A team's workflow is never this late: who finds a team here finds one whose workflow was terminated or reset.
OVERDUE_TEAMS = """
SELECT t.team_id FROM teams t
 WHERE t.status = 'forming'
   AND (t.deadline + t.payment_grace * interval '1 second' < $1
        OR EXISTS (SELECT FROM orders o WHERE o.team_id = t.team_id AND o.status = 'locked'
                      AND o.lock_expires_at + t.payment_grace * interval '1 second' < $1))
 ORDER BY t.deadline LIMIT $2
"""
# What was never tried is late sooner: its first try was lost with the worker that was to make it. A question is left to its
# refund's workflow, which waits for the answer.
FORGOTTEN_EVENTS = """
SELECT event_id FROM deliveries d JOIN events e USING (event_id)
 WHERE d.status = 'pending' AND e.type <> 'order.refund_requested'
   AND d.next_attempt_at < CASE WHEN d.attempts = 0 THEN $3::timestamptz ELSE $1 END
 GROUP BY event_id ORDER BY min(d.next_attempt_at) LIMIT $2
"""


async def find_leftovers(database: Database, now: datetime, late_by: timedelta) -> Leftovers:
    """Teams and events that are late by more than `late_by`, some at once."""
    async with connection(database) as conn:
        teams = await conn.fetch(OVERDUE_TEAMS, now - late_by, AT_ONCE)
        events = await conn.fetch(FORGOTTEN_EVENTS, now - late_by, AT_ONCE, now - FIRST_TRY_WITHIN)
    return Leftovers(team_ids=[row["team_id"] for row in teams], event_ids=[row["event_id"] for row in events])
