"""Finds the teams and events that are later than any live workflow lets them be."""

from collections import defaultdict
from datetime import datetime, timedelta

from db.core.connection import Database, connection
from db.reconciliation.conditions import LATE_BY, is_overdue, is_put_off

FIRST_ATTEMPT_WITHIN = timedelta(seconds=30)
"""longer than a callback attempt may take"""

# Those that failed before come last, and every mall gets its share: neither teams that fail nor the many of one mall hold up
# the others.
OVERDUE_TEAMS = f"""
SELECT t.team_id FROM teams t
 WHERE {is_overdue("$1")} AND NOT {is_put_off("team", "t.team_id", "$2")}
 ORDER BY EXISTS (SELECT FROM reconciliation_findings f WHERE f.kind = 'team' AND f.subject = t.team_id),
          row_number() OVER (PARTITION BY t.source ORDER BY t.deadline), t.deadline
 LIMIT $3
"""


async def overdue_teams(database: Database, now: datetime, limit: int) -> list[str]:
    """Returns forming teams with an overdue seat or deadline, except those that failed and are not due again."""
    async with connection(database) as conn:
        return [row["team_id"] for row in await conn.fetch(OVERDUE_TEAMS, now - LATE_BY, now, limit)]


# An event without any attempt ($2) is overdue sooner: its team's workflow may not know of it, where the answer of the
# transaction that wrote it was lost. order.refund_requested is left to the refund's workflow, which waits for the answer.
# Events of a team with a wake-up ($4: not older than any dispatcher lets it be) are left to the team's workflow, which is told.
# Every mall gets its share: one that hangs does not hold up the others.
OVERDUE_EVENTS = """
SELECT event_id, source FROM (
  SELECT d.event_id, e.source, min(d.next_attempt_at) AS due FROM deliveries d JOIN events e USING (event_id)
   WHERE d.status = 'pending' AND e.type <> 'order.refund_requested' AND d.next_attempt_at < $2
     AND (d.attempts = 0 OR d.next_attempt_at < $1)
     AND NOT EXISTS (SELECT FROM team_wakeups w WHERE w.team_id = e.team_id AND w.since > $4)
   GROUP BY d.event_id, e.source) overdue
 ORDER BY row_number() OVER (PARTITION BY source ORDER BY due, event_id), due, event_id LIMIT $3
"""


async def overdue_events(database: Database, now: datetime, limit: int) -> dict[str, list[str]]:
    """Returns events that wait for a delivery, by mall, the longest overdue of each mall first."""
    events: defaultdict[str, list[str]] = defaultdict(list)
    async with connection(database) as conn:
        for row in await conn.fetch(OVERDUE_EVENTS, now - LATE_BY, now - FIRST_ATTEMPT_WITHIN, limit, now - LATE_BY):
            events[row["source"]].append(row["event_id"])
    return dict(events)
