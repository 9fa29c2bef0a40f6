"""Lists what needs an operator: refunds without an answer, payment conflicts and dead callbacks."""

from db.core.connection import Database, connection
from db.core.pagination import Position
from domain.ids import refund_workflow_id, team_workflow_id
from domain.schemas.attention import Attention
from domain.schemas.workflows import WorkflowLink

ATTENTION = """
SELECT * FROM (
  SELECT 'refund' AS kind, r.order_id AS subject, o.source, o.out_trade_no, o.team_id, r.requested_at AS since,
         format('%s of %s: the mall does not answer', r.kind, r.amount) AS detail, r.order_id, r.attempt
    FROM refunds r JOIN orders o USING (order_id) WHERE r.status = 'attention'
  UNION ALL
  SELECT 'payment_conflict', c.order_id, o.source, o.out_trade_no, o.team_id, c.reported_at,
         format('%s was booked, and %s reported afterwards', o.paid_amount, c.amount), NULL, NULL
    FROM payment_conflicts c JOIN orders o USING (order_id)
  UNION ALL
  SELECT CASE WHEN r.attempt IS NULL THEN 'callback' ELSE 'refund' END, coalesce(r.order_id, d.event_id), e.source,
         o.out_trade_no, e.team_id, d.finished_at,
         format('%s to %s was given up after %s attempt(s)', e.type, d.address, d.attempts), r.order_id, r.attempt
    FROM deliveries d JOIN events e USING (event_id) LEFT JOIN orders o USING (order_id)
    LEFT JOIN refunds r ON r.order_id = e.order_id AND r.kind = 'unpaid' AND e.type = 'order.cancelled'
   WHERE d.status = 'dead' AND e.type NOT IN ('order.refund_requested', 'order.refunded') AND r.note IS NULL
) attention
 WHERE $1::timestamptz IS NULL OR (since, subject) < ($1, $2)
 ORDER BY since DESC, subject DESC LIMIT $3
"""


async def list_attention(database: Database, after: Position | None, limit: int) -> list[Attention]:
    """Returns what needs an operator, newest first."""
    position = (after.moment, after.row_id) if after else (None, None)
    async with connection(database) as conn:
        rows = await conn.fetch(ATTENTION, *position, limit)
    return [
        Attention(
            kind=row["kind"],
            subject=row["subject"],
            source=row["source"],
            out_trade_no=row["out_trade_no"],
            team_id=row["team_id"],
            since=row["since"],
            detail=row["detail"],
            workflow=WorkflowLink(
                id=refund_workflow_id(row["order_id"], row["attempt"]) if row["order_id"] else team_workflow_id(row["team_id"])
            ),
        )
        for row in rows
    ]
