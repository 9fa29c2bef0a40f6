"""What is true at the end of a run: the rows of one mall, and the workflows that belong to them.

Moments are seconds since 1970, amounts are decimal strings: the whole can be written to a file beside the history.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Self, TypeVar

import asyncpg

from tests.soak.history import Json


@dataclass(frozen=True, kw_only=True)
class Order:
    order_id: str
    out_trade_no: str
    user_id: str
    team_id: str
    campaign_id: int
    status: str
    live: bool
    pay_price: str
    locked_at: float
    lock_expires_at: float
    cancel_reason: str | None = None
    cancelled_at: float | None = None
    paid_amount: str | None = None
    payment_outcome: str | None = None
    payment_reason: str | None = None
    payment_reported_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Team:
    team_id: str
    campaign_id: int
    status: str
    version: int
    target_count: int
    min_count: int | None = None
    payment_grace: int
    refund_window: int
    opened_at: float
    deadline: float
    completed_at: float | None = None
    completion: str | None = None
    failed_at: float | None = None
    fail_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Refund:
    order_id: str
    attempt: int
    kind: str
    status: str
    amount: str
    operator: str | None = None
    question: str | None = None
    answer: str | None = None
    requested_at: float
    released_at: float | None = None
    finished_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    event_id: str
    type: str
    team_id: str
    order_id: str | None = None
    data: Json
    occurred_at: float
    sequence: int | None


@dataclass(frozen=True, kw_only=True)
class Delivery:
    event_id: str
    kind: str
    address: str
    status: str
    attempts: int
    finished_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Campaign:
    campaign_id: int
    status: str
    take_limit: int
    stock: int | None = None


@dataclass(frozen=True, kw_only=True)
class Shutdown:
    campaign_id: int
    begun_at: float
    finished_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Conflict:
    order_id: str
    amount: str


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """The last run under a workflow id."""

    workflow_id: str
    status: str
    """RUNNING, COMPLETED, FAILED, …"""
    closed_at: float | None = None
    failure: str | None = None
    """the type of a failed run's failure"""
    view_status: str | None = None
    """of a team: the status that its workflow believes in; None: it was not asked, or has no answer"""
    view_version: int | None = None
    """of a team: the version of its row that its workflow knows of"""
    view_seats: Mapping[str, str] | None = None
    """of a team: the status of each live seat, by its out_trade_no"""


@dataclass(frozen=True, kw_only=True)
class Rows:
    orders: tuple[Order, ...] = ()
    teams: tuple[Team, ...] = ()
    refunds: tuple[Refund, ...] = ()
    events: tuple[Event, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    campaigns: tuple[Campaign, ...] = ()
    shutdowns: tuple[Shutdown, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    workflows: tuple[Workflow, ...] = ()
    feed: tuple[tuple[int, str], ...] = ()
    """the mall's feed: sequences and event ids as the API shows them"""
    violations: tuple[Json, ...] = ()
    """what the platform's own invariants say, during the run and at its end"""
    invariants_asked: int = 0
    defects: tuple[str, ...] = ()
    """lines of the parts' logs that speak of a defect"""

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, text: str) -> Self:
        content: Json = json.loads(text)
        kept = {name: content[name] for name in ("invariants_asked",)}
        lists: Json = {name: tuple(content[name]) for name in ("violations", "defects")}
        feed = tuple((int(sequence), str(event_id)) for sequence, event_id in content["feed"])
        rows: Json = {name: tuple(kind(**item) for item in content[name]) for name, kind in KINDS.items()}
        return cls(**kept, **lists, feed=feed, **rows)


KINDS: dict[str, type] = {
    "orders": Order,
    "teams": Team,
    "refunds": Refund,
    "events": Event,
    "deliveries": Delivery,
    "campaigns": Campaign,
    "shutdowns": Shutdown,
    "conflicts": Conflict,
    "workflows": Workflow,
}

QUERIES: dict[str, str] = {
    "orders": "SELECT * FROM orders WHERE source = $1",
    "teams": "SELECT * FROM teams WHERE source = $1",
    "refunds": "SELECT r.* FROM refunds r JOIN orders o USING (order_id) WHERE o.source = $1",
    "events": "SELECT event_id, type, team_id, order_id, data::text, occurred_at, sequence FROM events WHERE source = $1",
    "deliveries": "SELECT d.* FROM deliveries d JOIN events e USING (event_id) WHERE e.source = $1",
    "campaigns": "SELECT c.* FROM campaigns c WHERE campaign_id IN (SELECT campaign_id FROM campaign_goods WHERE source = $1)",
    "shutdowns": """SELECT s.* FROM campaign_shutdowns s
                     WHERE campaign_id IN (SELECT campaign_id FROM campaign_goods WHERE source = $1)""",
    "conflicts": "SELECT c.order_id, c.amount FROM payment_conflicts c JOIN orders o USING (order_id) WHERE o.source = $1",
}

RowT = TypeVar("RowT")


async def read_tables(conn: asyncpg.Connection, source: str) -> dict[str, tuple[Any, ...]]:
    """The rows of one mall, by the names of `Rows`, all of one moment."""
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        return {name: tuple(_made(KINDS[name], await conn.fetch(sql, source))) for name, sql in QUERIES.items()}


def _made(kind: type[RowT], found: Iterable[asyncpg.Record]) -> Iterable[RowT]:
    names = [each.name for each in fields(kind)]  # type: ignore[arg-type]
    for row in found:
        yield kind(**{name: _plain(name, row[name]) for name in names})


def _plain(name: str, value: object) -> object:
    match value:
        case datetime():
            return value.timestamp()
        case Decimal():
            return f"{value:.2f}"
        case str() if name == "data":
            return json.loads(value)
        case _:
            return value


LEFT = """
SELECT (SELECT count(*) FROM orders WHERE source = $1 AND status IN ('locked', 'refunding')) AS orders,
       (SELECT count(*) FROM orders o JOIN teams t USING (team_id)
         WHERE o.source = $1 AND o.status = 'paid' AND t.status = 'failed') AS owed,
       (SELECT count(*) FROM teams WHERE source = $1 AND status = 'forming') AS teams,
       (SELECT count(*) FROM refunds r JOIN orders o USING (order_id) WHERE o.source = $1 AND finished_at IS NULL) AS refunds,
       (SELECT count(*) FROM deliveries d JOIN events e USING (event_id) WHERE e.source = $1 AND status = 'pending') AS pending,
       (SELECT count(*) FROM deliveries d JOIN events e USING (event_id) WHERE e.source = $1 AND d.status = 'dead'
           AND NOT EXISTS (SELECT FROM refunds WHERE question = event_id AND answer IS NOT NULL)) AS dead,
       (SELECT count(*) FROM campaign_shutdowns WHERE finished_at IS NULL) AS shutdowns,
       (SELECT count(*) FROM team_wakeups w JOIN teams t USING (team_id) WHERE t.source = $1) AS wakeups
"""
# What an operator does something about at the end of a run: events that were given up, and teams that were given more time. A
# question that somebody has answered otherwise stays dead.
DEAD = """
SELECT DISTINCT event_id FROM deliveries d JOIN events e USING (event_id) WHERE e.source = $1 AND d.status = 'dead'
   AND NOT EXISTS (SELECT FROM refunds WHERE question = event_id AND answer IS NOT NULL)
"""
PROLONGED = """
SELECT team_id FROM teams WHERE source = $1 AND status = 'forming' AND deadline > now() + interval '20 seconds'
"""
# What the platform has given to the broker, for the mall to take.
QUEUED_EVENTS = """
SELECT DISTINCT event_id FROM deliveries d JOIN events e USING (event_id)
 WHERE e.source = $1 AND d.kind = 'amqp' AND d.status = 'delivered'
"""


async def left_under_way(conn: asyncpg.Connection, source: str) -> Json:
    """How much has not ended yet, by what it is; empty when all has."""
    found = await conn.fetchrow(LEFT, source)
    assert found is not None
    return {name: count for name, count in found.items() if count}
