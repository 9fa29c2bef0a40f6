"""What reconciliation could not do, or found missing: kept, with backoff, until it is done. Attention shows it."""

from collections.abc import Collection, Mapping
from datetime import datetime

from db.core.connection import Database, transaction
from db.reconciliation.conditions import IS_COMPLETED, LATE_BY, WINDOW_END, WINDOW_ENDS_WITHIN, is_overdue
from domain.schemas.attention import AttentionKind

# Backoff: a minute, doubling to a quarter of an hour.
RECORD = """
INSERT INTO reconciliation_findings AS f (kind, subject, detail, times, first_seen_at, last_seen_at, next_try_at)
SELECT $1, found.subject, found.detail, 1, $4, $4, $4::timestamptz + interval '1 minute'
  FROM unnest($2::text[], $3::text[]) AS found (subject, detail)
ON CONFLICT (kind, subject) DO UPDATE
   SET detail = excluded.detail, times = f.times + 1, last_seen_at = $4,
       next_try_at = $4 + least(power(2, least(f.times, 10)), 15) * interval '1 minute'
"""
# What is done, and what has become pointless: also of a subject that was found a moment ago and has ended since.
CLEAR = f"""
DELETE FROM reconciliation_findings f
 WHERE f.kind = $1
   AND (f.subject = ANY($2::text[])
        OR NOT CASE f.kind
               WHEN 'team' THEN EXISTS (SELECT FROM teams t WHERE t.team_id = f.subject AND {is_overdue("$3")})
               WHEN 'refund' THEN
                 EXISTS (SELECT FROM refunds r WHERE r.order_id = f.subject AND r.finished_at IS NULL)
                 OR EXISTS (SELECT FROM orders o JOIN teams t USING (team_id)
                             WHERE o.order_id = f.subject AND o.status = 'paid' AND t.status = 'failed')
               WHEN 'mall' THEN
                 EXISTS (SELECT FROM deliveries d JOIN events e USING (event_id)
                          WHERE d.status = 'pending' AND d.next_attempt_at < $3 AND e.source = f.subject)
               WHEN 'workflow' THEN
                 EXISTS (SELECT FROM teams t WHERE t.team_id = f.subject
                            AND (t.status = 'forming' OR t.{IS_COMPLETED} AND {WINDOW_END} > $4 AT TIME ZONE 'UTC'))
               ELSE true END)
"""


async def record_findings(
    database: Database, kind: AttentionKind, found: Mapping[str, str], done: Collection[str], now: datetime
) -> None:
    """Records what is wrong with subjects of one kind; clears those that are done, and those that have become pointless."""
    subjects = sorted(found)
    async with transaction(database) as conn:
        await conn.execute(RECORD, kind, subjects, [found[subject] for subject in subjects], now)
        await conn.execute(CLEAR, kind, list(done), now - LATE_BY, now + WINDOW_ENDS_WITHIN)
