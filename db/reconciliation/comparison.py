"""What the rows say of the workflows that run, and of those that ought to: for whoever restores a backup."""

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from db.core.connection import Database, connection, transaction
from db.reconciliation.conditions import IS_COMPLETED, WINDOW_END, WINDOW_ENDS_WITHIN
from db.settings.audit import record_change
from domain.messages.acts import Author
from domain.messages.refunds import RefundInput

SLICE = 500


@dataclass(frozen=True, slots=True)
class TeamRow:
    """What a team's workflow ought to see."""

    status: str
    deadline: datetime
    unpaid: frozenset[str]
    """out_trade_nos of those who hold a seat"""
    paid: frozenset[str]
    """the same, and one whose mall is asked to return the money still holds it"""
    is_woken: bool
    """its workflow is about to read the rows"""


TEAMS = """
SELECT team_id, status, deadline, EXISTS (SELECT FROM team_wakeups w WHERE w.team_id = t.team_id) AS is_woken,
       ARRAY(SELECT out_trade_no FROM orders o WHERE o.team_id = t.team_id AND o.live AND o.status = 'locked') AS unpaid,
       ARRAY(SELECT out_trade_no FROM orders o WHERE o.team_id = t.team_id AND o.live AND o.status <> 'locked') AS paid
  FROM teams t WHERE team_id = ANY($1::text[])
"""


async def team_rows(database: Database, team_ids: Collection[str]) -> dict[str, TeamRow]:
    """Returns those of these teams that have a row."""
    async with connection(database) as conn:
        return {
            row["team_id"]: TeamRow(
                row["status"], row["deadline"], frozenset(row["unpaid"]), frozenset(row["paid"]), row["is_woken"]
            )
            for row in await conn.fetch(TEAMS, list(team_ids))
        }


REFUNDS = """
SELECT order_id, attempt, status FROM refunds
 WHERE (order_id, attempt) IN (SELECT * FROM unnest($1::text[], $2::int[]))
"""


async def refund_statuses(database: Database, refunds: Collection[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """Returns the statuses of those of these refunds, by order and attempt, that have a row."""
    orders, attempts = [order for order, _ in refunds], [attempt for _, attempt in refunds]
    async with connection(database) as conn:
        return {(row["order_id"], row["attempt"]): row["status"] for row in await conn.fetch(REFUNDS, orders, attempts)}


ORDERS = "SELECT order_id FROM orders WHERE order_id = ANY($1::text[])"


async def known_orders(database: Database, order_ids: Collection[str]) -> set[str]:
    """Returns those of these orders that have a row."""
    async with connection(database) as conn:
        return {row["order_id"] for row in await conn.fetch(ORDERS, list(order_ids))}


LIVE_TEAMS = f"""
SELECT team_id FROM teams
 WHERE team_id > $1 AND (status = 'forming' OR {IS_COMPLETED} AND {WINDOW_END} > $2 AT TIME ZONE 'UTC')
 ORDER BY team_id LIMIT {SLICE}
"""


async def live_teams(database: Database, now: datetime) -> AsyncIterator[list[str]]:
    """Yields, in slices, the teams whose workflow ought to run: forming, or in their refund window."""
    last = ""
    while True:
        async with connection(database) as conn:
            team_ids = [row["team_id"] for row in await conn.fetch(LIVE_TEAMS, last, now + WINDOW_ENDS_WITHIN)]
        if not team_ids:
            return
        yield team_ids
        last = team_ids[-1]


@dataclass(frozen=True, slots=True)
class UnfinishedRefund:
    order_id: str
    refund: RefundInput


UNFINISHED = f"""
SELECT r.order_id, r.attempt, o.source, o.out_trade_no FROM refunds r JOIN orders o USING (order_id)
 WHERE r.finished_at IS NULL AND r.order_id > $1 ORDER BY r.order_id LIMIT {SLICE}
"""


async def unfinished_refunds(database: Database) -> AsyncIterator[list[UnfinishedRefund]]:
    """Yields, in slices, the refunds whose workflow ought to run."""
    last = ""
    while True:
        async with connection(database) as conn:
            rows = await conn.fetch(UNFINISHED, last)
        if not rows:
            return
        yield [
            UnfinishedRefund(
                row["order_id"],
                RefundInput(source=row["source"], out_trade_no=row["out_trade_no"], attempt=row["attempt"]),
            )
            for row in rows
        ]
        last = rows[-1]["order_id"]


SKIP = """
UPDATE malls m
   SET sequence_from = greatest(m.sequence_from, (SELECT max(sequence) FROM events e WHERE e.source = m.source), 0) + $1
RETURNING source, sequence_from
"""


async def skip_sequences(database: Database, count: int, *, by: Author, now: datetime) -> Mapping[str, int]:
    """Has every mall's next events begin so much higher; returns after which sequence, by mall."""
    async with transaction(database) as conn:
        malls = {row["source"]: row["sequence_from"] for row in await conn.fetch(SKIP, count)}
        await record_change(conn, "database/sequences", {"sequence_from": malls}, by=by, now=now)
    return malls
