"""Finds the refunds that no workflow has worked on for some time."""

from collections.abc import Collection
from datetime import datetime

from db.core.connection import Database, connection
from db.reconciliation.conditions import LATE_BY, is_put_off
from domain.messages.refunds import RefundInput

UNFINISHED = f"""
UPDATE refunds r SET checked_at = $1
  FROM orders o
 WHERE o.order_id = r.order_id
   AND (r.order_id, r.attempt) IN (
     SELECT order_id, attempt FROM refunds unfinished
      WHERE finished_at IS NULL AND checked_at < $2 AND NOT {is_put_off("refund", "unfinished.order_id", "$1")}
      ORDER BY checked_at LIMIT $3)
RETURNING o.source, o.out_trade_no, r.attempt
"""


async def unfinished_refunds(database: Database, now: datetime, limit: int) -> list[RefundInput]:
    """Returns refunds that were not checked lately, and marks them checked."""
    async with connection(database) as conn:
        return [RefundInput(**row) for row in await conn.fetch(UNFINISHED, now, now - LATE_BY, limit)]


# Those that failed before come last, and every mall gets its share.
OWED = f"""
SELECT o.source, o.out_trade_no, 1 + (SELECT count(*) FROM refunds r WHERE r.order_id = o.order_id) AS attempt
  FROM teams t JOIN orders o USING (team_id)
 WHERE t.status = 'failed' AND t.complete_count > 0 AND (t.failed_at < $2 OR t.team_id = ANY($4::text[]))
   AND o.status = 'paid' AND NOT {is_put_off("refund", "o.order_id", "$1")}
 ORDER BY EXISTS (SELECT FROM reconciliation_findings f WHERE f.kind = 'refund' AND f.subject = o.order_id),
          row_number() OVER (PARTITION BY o.source ORDER BY t.failed_at, o.order_id), t.failed_at
 LIMIT $3
"""


async def owed_refunds(database: Database, now: datetime, limit: int, team_ids: Collection[str] = ()) -> list[RefundInput]:
    """Returns paid orders without a refund, of teams that failed some time ago, and of these teams."""
    async with connection(database) as conn:
        return [RefundInput(**row) for row in await conn.fetch(OWED, now, now - LATE_BY, limit, list(team_ids))]
