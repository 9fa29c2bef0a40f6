"""What needs an operator: refunds without an answer, payment conflicts, dead callbacks, what reconciliation found,
teams whose workflow does not take over."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from db.core.connection import Connection, Database, Row, connection, transaction
from db.core.pagination import Position
from db.settings.audit import find_outcome, hold_repeats, record_act
from domain.errors import ErrorCode, Refusal
from domain.ids import refund_workflow_id, team_workflow_id
from domain.messages.acts import Act, Outcome
from domain.schemas.attention import Attention, AttentionKind, Resolvable
from domain.schemas.workflows import WorkflowLink
from domain.wakeups import ATTEMPTS


class _Source(NamedTuple):
    """Rows that need an operator: SQL of what they are and where they are found."""

    kind: str
    subject: str
    since: str
    source: str
    team: str
    columns: str
    """out_trade_no, detail, and the order and attempt of the refund whose workflow it is"""
    tables: str

    @property
    def key(self) -> str:
        return f"({self.since}, {self.kind} || '/' || {self.subject})"

    def select(self, rest: str = "") -> str:
        return f"""
SELECT {self.kind} AS kind, {self.subject} AS subject, {self.since} AS since, {self.source} AS source, {self.team} AS team_id,
       {self.columns}
  FROM {self.tables} {rest}"""


SOURCES = (
    _Source(
        kind="'refund'",
        subject="r.order_id",
        since="r.requested_at",
        source="o.source",
        team="o.team_id",
        columns="""o.out_trade_no, format('%s of %s: the mall does not answer', r.kind, r.amount) AS detail, r.order_id,
       r.attempt""",
        tables="refunds r JOIN orders o USING (order_id) WHERE r.status = 'attention'",
    ),
    _Source(
        kind="'payment_conflict'",
        subject="c.order_id",
        since="c.reported_at",
        source="o.source",
        team="o.team_id",
        columns="o.out_trade_no, format('%s was booked, and %s reported afterwards', o.paid_amount, c.amount), NULL, NULL",
        tables="payment_conflicts c JOIN orders o USING (order_id) WHERE c.resolved_at IS NULL",
    ),
    _Source(
        kind="CASE WHEN r.attempt IS NULL THEN 'callback' ELSE 'refund' END",
        subject="coalesce(r.order_id, d.event_id)",
        since="d.finished_at",
        source="e.source",
        team="e.team_id",
        columns="""o.out_trade_no, format('%s to %s was given up after %s attempt(s)', e.type, d.address, d.attempts),
       r.order_id, r.attempt""",
        tables="""deliveries d JOIN events e USING (event_id) LEFT JOIN orders o USING (order_id)
  LEFT JOIN refunds r ON r.order_id = e.order_id AND r.kind = 'unpaid' AND e.type = 'order.cancelled'
 WHERE d.status = 'dead' AND e.type NOT IN ('order.refund_requested', 'order.refunded') AND r.note IS NULL""",
    ),
    _Source(
        kind="f.kind",
        subject="f.subject",
        since="f.first_seen_at",
        source="coalesce(o.source, t.source, f.subject)",
        team="coalesce(o.team_id, t.team_id)",
        columns="""o.out_trade_no,
       format('%s: %s', CASE f.kind WHEN 'team' THEN 'its overdue seats, or its end, failed'
                                    WHEN 'refund' THEN 'its workflow did not run'
                                    WHEN 'mall' THEN 'its overdue callbacks were not attempted'
                                    WHEN 'workflow' THEN 'its workflow is not running'
                                    WHEN 'invariant' THEN 'the check of the invariants' END, f.detail)
         || CASE WHEN f.times > 1 THEN format(' (%s times, last at %s UTC)', f.times,
                                              to_char(f.last_seen_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')) ELSE '' END,
       o.order_id, (SELECT count(*) + (o.status = 'paid')::int FROM refunds r WHERE r.order_id = o.order_id)""",
        tables="""reconciliation_findings f
  -- OFFSET 0: by their keys, or else all orders would be read where there are many findings.
  LEFT JOIN LATERAL (SELECT * FROM orders WHERE f.kind = 'refund' AND order_id = f.subject OFFSET 0) o ON true
  LEFT JOIN LATERAL (SELECT * FROM teams WHERE f.kind IN ('team', 'workflow', 'invariant') AND team_id = f.subject OFFSET 0) t
         ON true
 WHERE true""",
    ),
    _Source(
        kind="'wakeup'",
        subject="w.team_id",
        since="w.since",
        source="t.source",
        team="w.team_id",
        columns="""NULL,
       format('its workflow was told %s times that the rows have changed, and has not read them: %s', w.attempts,
              coalesce(w.error, 'no error')), NULL, NULL""",
        tables=f"team_wakeups w JOIN teams t USING (team_id) WHERE w.attempts >= {ATTEMPTS}",
    ),
)

TEAMS = " UNION ALL ".join(f"SELECT {source.team} AS team_id FROM {source.tables}" for source in SOURCES)
"""the teams of what needs an operator; null where it is no team's"""


def _page(order: Literal["ASC", "DESC"]) -> str:
    """Returns SQL: the next rows after $1 and $2, $3 at most, of the kind $4 or (null) of all.

    Each source gives its own first rows, which an index has: so a page costs the same, however many rows need an operator.
    """
    after = ">" if order == "ASC" else "<"
    firsts = [
        source.select(f"""
   AND ($4::text IS NULL OR {source.kind} = $4) AND ($1::timestamptz IS NULL OR {source.key} {after} ($1, $2::text))
 ORDER BY {source.since} {order}, {source.kind} || '/' || {source.subject} {order} LIMIT $3""")
        for source in SOURCES
    ]
    union = " UNION ALL ".join(f"({first})" for first in firsts)
    return f"SELECT * FROM ({union}) attention ORDER BY since {order}, kind || '/' || subject {order} LIMIT $3"


NEWEST_FIRST, OLDEST_FIRST = _page("DESC"), _page("ASC")

COUNTED = 10_000
KINDS = " UNION ALL ".join(f"(SELECT {source.kind} AS kind FROM {source.tables} LIMIT {COUNTED})" for source in SOURCES)
COUNT = f"SELECT kind, count(*) AS items FROM ({KINDS}) counted GROUP BY kind"


async def count_attention(conn: Connection) -> dict[str, int]:
    """Counts what needs an operator, by kind, up to 10,000 of each source."""
    return {row["kind"]: row["items"] for row in await conn.fetch(COUNT)}


async def list_attention(
    database: Database,
    after: Position | None,
    limit: int,
    kind: AttentionKind | None = None,
    *,
    oldest_first: bool = False,
) -> list[Attention]:
    """Returns what needs an operator, newest first unless told otherwise, of one kind or of all."""
    position = (after.moment, after.row_id) if after else (None, None)
    async with connection(database) as conn:
        rows = await conn.fetch(OLDEST_FIRST if oldest_first else NEWEST_FIRST, *position, limit, kind)
    return [_attention(row) for row in rows]


@dataclass(frozen=True, slots=True)
class AttentionGroup:
    """What needs an operator, of one kind."""

    kind: AttentionKind
    count: int
    """up to 10,000 of each source"""
    oldest: list[Attention]


async def group_attention(database: Database, each: int) -> list[AttentionGroup]:
    """Returns the kinds that there are, with the oldest of each."""
    async with connection(database) as conn:
        counts = await count_attention(conn)
        return [
            AttentionGroup(
                kind, counts[kind], [_attention(row) for row in await conn.fetch(OLDEST_FIRST, None, None, each, kind)]
            )
            for kind in AttentionKind
            if kind in counts
        ]


def _attention(row: Row) -> Attention:
    return Attention(
        kind=row["kind"],
        subject=row["subject"],
        source=row["source"],
        out_trade_no=row["out_trade_no"],
        team_id=row["team_id"],
        since=row["since"],
        detail=row["detail"],
        workflow=_workflow(row),
    )


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
        await hold_repeats(conn, act.id)
        if earlier := await find_outcome(conn, f"{kind}/{subject}", act):
            return earlier
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
