"""Finds what is overdue by more than any running workflow allows."""

from datetime import datetime, timedelta

from db.core.connection import Database, connection
from domain.messages.reconciliation import Overdue

BATCH = 100
FIRST_ATTEMPT_WITHIN = timedelta(seconds=30)
"""longer than a callback attempt may take"""

# Only teams whose workflow was terminated or reset: a running one is never this late.
OVERDUE_TEAMS = """
SELECT t.team_id FROM teams t
 WHERE t.status = 'forming'
   AND (t.deadline + t.payment_grace * interval '1 second' < $1
        OR EXISTS (SELECT FROM orders o WHERE o.team_id = t.team_id AND o.status = 'locked'
                      AND o.lock_expires_at + t.payment_grace * interval '1 second' < $1))
 ORDER BY t.deadline LIMIT $2
"""
# An event without any attempt ($3) is overdue sooner: its team's workflow may not know of it, where the answer of the
# transaction that wrote it was lost. order.refund_requested is left to the refund's workflow, which waits for the answer.
OVERDUE_EVENTS = """
SELECT event_id FROM deliveries d JOIN events e USING (event_id)
 WHERE d.status = 'pending' AND e.type <> 'order.refund_requested' AND d.next_attempt_at < $3
   AND (d.attempts = 0 OR d.next_attempt_at < $1)
 GROUP BY event_id ORDER BY min(d.next_attempt_at) LIMIT $2
"""


async def find_overdue(database: Database, now: datetime, late_by: timedelta) -> Overdue:
    """Returns teams and events that are overdue by more than `late_by`, and events that no attempt was made for in time.

    At most a batch of each.
    """
    async with connection(database) as conn:
        teams = await conn.fetch(OVERDUE_TEAMS, now - late_by, BATCH)
        events = await conn.fetch(OVERDUE_EVENTS, now - late_by, BATCH, now - FIRST_ATTEMPT_WITHIN)
    return Overdue(team_ids=[row["team_id"] for row in teams], event_ids=[row["event_id"] for row in events])
