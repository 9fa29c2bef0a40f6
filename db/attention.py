"""What needs an operator: refunds without an answer, payment conflicts, dead callbacks, what reconciliation found,
teams whose workflow does not take over."""

from datetime import datetime

from db.core.connection import Connection, Database, Row, connection, transaction
from db.core.pagination import Position
from db.settings.audit import record_act
from domain.errors import ErrorCode, Refusal
from domain.ids import refund_workflow_id, team_workflow_id
from domain.messages.acts import Act, Outcome
from domain.schemas.attention import Attention, Resolvable
from domain.schemas.workflows import WorkflowLink
from domain.wakeups import ATTEMPTS

NEEDS_OPERATOR = f"""
  SELECT 'refund' AS kind, r.order_id AS subject, o.source, o.out_trade_no, o.team_id, r.requested_at AS since,
         format('%s of %s: the mall does not answer', r.kind, r.amount) AS detail, r.order_id, r.attempt
    FROM refunds r JOIN orders o USING (order_id) WHERE r.status = 'attention'
  UNION ALL
  SELECT 'payment_conflict', c.order_id, o.source, o.out_trade_no, o.team_id, c.reported_at,
         format('%s was booked, and %s reported afterwards', o.paid_amount, c.amount), NULL, NULL
    FROM payment_conflicts c JOIN orders o USING (order_id) WHERE c.resolved_at IS NULL
  UNION ALL
  SELECT CASE WHEN r.attempt IS NULL THEN 'callback' ELSE 'refund' END, coalesce(r.order_id, d.event_id), e.source,
         o.out_trade_no, e.team_id, d.finished_at,
         format('%s to %s was given up after %s attempt(s)', e.type, d.address, d.attempts), r.order_id, r.attempt
    FROM deliveries d JOIN events e USING (event_id) LEFT JOIN orders o USING (order_id)
    LEFT JOIN refunds r ON r.order_id = e.order_id AND r.kind = 'unpaid' AND e.type = 'order.cancelled'
   WHERE d.status = 'dead' AND e.type NOT IN ('order.refund_requested', 'order.refunded') AND r.note IS NULL
  UNION ALL
  SELECT f.kind, f.subject, coalesce(o.source, t.source, f.subject), o.out_trade_no, coalesce(o.team_id, t.team_id),
         f.first_seen_at, format('%s: %s', CASE f.kind WHEN 'team' THEN 'its overdue seats, or its end, failed'
                                                       WHEN 'refund' THEN 'its workflow did not run'
                                                       WHEN 'mall' THEN 'its overdue callbacks were not attempted'
                                                       WHEN 'workflow' THEN 'its workflow is not running'
                                                       WHEN 'invariant' THEN 'the check of the invariants' END, f.detail)
         || CASE WHEN f.times > 1 THEN format(' (%s times, last at %s UTC)', f.times,
                                              to_char(f.last_seen_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')) ELSE '' END,
         o.order_id, (SELECT count(*) + (o.status = 'paid')::int FROM refunds r WHERE r.order_id = o.order_id)
    FROM reconciliation_findings f
    LEFT JOIN orders o ON f.kind = 'refund' AND o.order_id = f.subject
    LEFT JOIN teams t ON f.kind IN ('team', 'workflow', 'invariant') AND t.team_id = f.subject
  UNION ALL
  SELECT 'wakeup', w.team_id, t.source, NULL, w.team_id, w.since,
         format('its workflow was told %s times that the rows have changed, and has not read them: %s', w.attempts,
                coalesce(w.error, 'no error')), NULL, NULL
    FROM team_wakeups w JOIN teams t USING (team_id) WHERE w.attempts >= {ATTEMPTS}
"""
ATTENTION = f"""
SELECT * FROM ({NEEDS_OPERATOR}) attention
 WHERE $1::timestamptz IS NULL OR (since, kind || '/' || subject) < ($1, $2)
 ORDER BY since DESC, kind || '/' || subject DESC LIMIT $3
"""


COUNTED = 10_000
COUNT = (
    f"SELECT kind, count(*) AS items FROM (SELECT kind FROM ({NEEDS_OPERATOR}) attention LIMIT {COUNTED}) counted GROUP BY kind"
)


async def count_attention(conn: Connection) -> dict[str, int]:
    """Counts what needs an operator, by kind, up to 10,000 in all."""
    return {row["kind"]: row["items"] for row in await conn.fetch(COUNT)}


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
            workflow=_workflow(row),
        )
        for row in rows
    ]


def _workflow(row: Row) -> WorkflowLink | None:
    if row["order_id"]:
        return WorkflowLink(id=refund_workflow_id(row["order_id"], row["attempt"]))
    return WorkflowLink(id=team_workflow_id(row["team_id"])) if row["team_id"] else None


async def resolve(database: Database, kind: Resolvable, subject: str, act: Act, now: datetime) -> Outcome:
    """Settles what an operator says is settled, so that it is listed no more; the act is recorded with its note.

    Raises:
        Refusal: order_not_found, event_not_found.
    """
    async with transaction(database) as conn:
        if kind is Resolvable.PAYMENT_CONFLICT:
            outcome = await _resolve_conflict(conn, subject, now)
        else:
            outcome = await _resolve_callback(conn, subject, now)
        return await record_act(conn, f"{kind}/{subject}", "resolve", act, outcome, now)


ORDER_EXISTS = "SELECT EXISTS (SELECT FROM orders WHERE order_id = $1)"
RESOLVE_CONFLICTS = """
UPDATE payment_conflicts SET resolved_at = $2 WHERE order_id = $1 AND resolved_at IS NULL RETURNING amount
"""


async def _resolve_conflict(conn: Connection, order_id: str, now: datetime) -> Outcome:
    if not await conn.fetchval(ORDER_EXISTS, order_id):
        raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {order_id}.")
    amounts = sorted(row["amount"] for row in await conn.fetch(RESOLVE_CONFLICTS, order_id, now))
    if not amounts:
        return Outcome(changed=False, detail="No payment conflict of this order waits.")
    return Outcome(changed=True, detail=f"Also reported, and settled by hand: {', '.join(map(str, amounts))}.")


# What the list above shows as a refund is not settled here: somebody may wait for its money.
CALLBACK = """
SELECT e.type IN ('order.refund_requested', 'order.refunded')
       OR e.type = 'order.cancelled' AND EXISTS (SELECT FROM refunds r WHERE r.order_id = e.order_id AND r.kind = 'unpaid')
       AS is_of_refund
  FROM events e WHERE e.event_id = $1
"""
CLOSE_DEAD = """
UPDATE deliveries SET status = 'closed', finished_at = $2 WHERE event_id = $1 AND status COLLATE "C" = 'dead' RETURNING address
"""


async def _resolve_callback(conn: Connection, event_id: str, now: datetime) -> Outcome:
    event = await conn.fetchrow(CALLBACK, event_id)
    if event is None:
        raise Refusal(ErrorCode.EVENT_NOT_FOUND, f"There is no event {event_id}.")
    if event["is_of_refund"]:
        return Outcome(changed=False, detail="It is a refund's: close the refund manually, or have it sent again.")
    closed = len(await conn.fetch(CLOSE_DEAD, event_id, now))
    if not closed:
        return Outcome(changed=False, detail="No callback of this event was given up.")
    return Outcome(changed=True, detail=f"{closed} callback(s) that were given up are closed.")
