"""Counts for dashboards and alerts. Each statement is bounded by an index or by the time that its connection allows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from db.attention import count_attention
from db.core.connection import Database, connection

UNFINISHED_REFUNDS = """
SELECT kind, status, count(*) AS refunds, min(requested_at) AS oldest
  FROM refunds WHERE finished_at IS NULL GROUP BY kind, status
"""
OUTBOX = """
SELECT e.source, count(*) AS callbacks, min(d.since) AS oldest
  FROM deliveries d JOIN events e USING (event_id) WHERE d.status = 'pending' GROUP BY e.source
"""
FINDINGS = "SELECT kind, count(*) AS findings FROM reconciliation_findings GROUP BY kind"
PASSES = "SELECT name, begun_at, last_finished_at FROM reconciliation_cursors ORDER BY name"
FORMING = "SELECT count(*) FROM teams WHERE status = 'forming'"


@dataclass(frozen=True, slots=True)
class UnfinishedRefunds:
    kind: str
    status: str
    refunds: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Outbox:
    """The callbacks that a mall has not received."""

    source: str
    callbacks: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Pass:
    """Something that reconciliation looks at in turn."""

    name: str
    begun_at: datetime
    last_finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class OpenWork:
    """What is under way, what waits, and what was found wrong."""

    refunds: Sequence[UnfinishedRefunds]
    outboxes: Sequence[Outbox]
    attention: dict[str, int]
    findings: dict[str, int]
    passes: Sequence[Pass]
    teams_forming: int


async def read_passes(database: Database) -> list[Pass]:
    async with connection(database) as conn:
        return [Pass(**row) for row in await conn.fetch(PASSES)]


async def read_open_work(database: Database) -> OpenWork:
    async with connection(database) as conn:
        return OpenWork(
            refunds=[UnfinishedRefunds(**row) for row in await conn.fetch(UNFINISHED_REFUNDS)],
            outboxes=[Outbox(**row) for row in await conn.fetch(OUTBOX)],
            attention=await count_attention(conn),
            findings={row["kind"]: row["findings"] for row in await conn.fetch(FINDINGS)},
            passes=[Pass(**row) for row in await conn.fetch(PASSES)],
            teams_forming=int(await conn.fetchval(FORMING)),
        )


TEAMS = "SELECT status, count(*) AS teams FROM teams WHERE opened_at >= $1 GROUP BY status"
ORDERS = """
SELECT status, cancel_reason, count(*) AS orders, sum(pay_price) AS amount FROM orders WHERE locked_at >= $1
 GROUP BY status, cancel_reason
"""


@dataclass(frozen=True, slots=True)
class Trade:
    """What has become of the teams and orders since a moment."""

    teams: dict[str, int]
    orders: dict[str, int]
    amounts: dict[str, Decimal]
    """what the orders cost, by their status"""
    cancelled: dict[str, int]
    """cancelled orders by reason; `lock_timeout`: seats that lapsed"""


async def read_trade(database: Database, since: datetime) -> Trade:
    async with connection(database) as conn:
        teams = {row["status"]: row["teams"] for row in await conn.fetch(TEAMS, since)}
        rows = await conn.fetch(ORDERS, since)
    orders: dict[str, int] = {}
    amounts: dict[str, Decimal] = {}
    cancelled: dict[str, int] = {}
    for row in rows:
        status = row["status"]
        orders[status] = orders.get(status, 0) + row["orders"]
        amounts[status] = amounts.get(status, Decimal(0)) + row["amount"]
        if status == "cancelled":
            cancelled[row["cancel_reason"]] = row["orders"]
    return Trade(teams, orders, amounts, cancelled)
