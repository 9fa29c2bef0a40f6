"""Reads events and their deliveries: a mall's event feed, the operators' list, and the backlog."""

import json
from dataclasses import dataclass
from datetime import datetime

from db.callbacks.deliveries import DeliveryStatus, assign_sequences
from db.core.connection import Database, Row, connection, fetch_one
from db.core.pagination import Conditions, Position
from domain.schemas.callbacks import CallbackAttempt, Event, OpsCallback, OpsCallbackAttempts
from domain.schemas.events import EventType

FEED = """
SELECT event_id, type, occurred_at, sequence, data FROM events
 WHERE source = $1 AND sequence > $2 ORDER BY sequence LIMIT $3
"""


async def read_feed(database: Database, source: str, after: int, limit: int) -> list[Event]:
    """Returns a mall's events with sequences above `after`, without gaps: numbers what is committed before it reads."""
    await assign_sequences(database, source)
    async with connection(database) as conn:
        rows = await conn.fetch(FEED, source, after, limit)
    return [
        Event(
            event_id=row["event_id"],
            type=row["type"],
            timestamp=row["occurred_at"],
            sequence=row["sequence"],
            data=json.loads(row["data"]),
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class CallbackFilter:
    status: DeliveryStatus | None = None
    source: str | None = None
    type: EventType | None = None
    event_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


# A delivery has no id: the deliveries of an event are ordered by a hash of their address.
ADDRESS_HASH = "md5(d.kind || ' ' || d.address || ' ' || d.format)"
DELIVERIES = f"""
SELECT d.*, e.source, e.type, e.team_id, e.order_id, e.sequence, e.occurred_at, e.event_no, {ADDRESS_HASH} AS address_hash
  FROM deliveries d JOIN events e USING (event_id)
"""


def _callbacks_of(deliveries: str) -> str:
    """Returns SQL: these deliveries with the numbers of their orders and their last attempts."""
    return f"""
SELECT p.*, o.out_trade_no, last.started_at AS last_attempt_at, last.http_status AS last_status, last.error AS last_error
  FROM ({deliveries}) p LEFT JOIN orders o USING (order_id)
  LEFT JOIN LATERAL (
    SELECT * FROM delivery_attempts a
     WHERE a.event_id = p.event_id AND a.kind = p.kind AND a.address = p.address AND a.format = p.format
     ORDER BY attempt_no DESC LIMIT 1) last ON true
"""


async def list_callbacks(
    database: Database, filters: CallbackFilter, after: Position | None, limit: int
) -> list[tuple[str, OpsCallback]]:
    """Returns deliveries, of the newest event first, each with its cursor."""
    sql, values = callbacks_page(filters, after, limit)
    async with connection(database) as conn:
        rows = await conn.fetch(sql, *values)
    return [(f"{row['event_no']}.{row['address_hash']}", _callback(row)) for row in rows]


def callbacks_page(filters: CallbackFilter, after: Position | None, limit: int) -> tuple[str, list[object]]:
    """Returns the SQL of the list above and its values.

    Events are read in the order of an index until the page is full: by their numbers; or where a mall or a period is asked for,
    by their times, in which each mall's events have an index. Of a status that few deliveries have, these are sorted.
    """
    is_by_time = filters.source is not None or filters.since is not None or filters.until is not None
    columns = ["occurred_at", "event_no"] if is_by_time else ["event_no"]
    order = f"ORDER BY {', '.join(f'{column} DESC' for column in (*columns, 'address_hash'))}"
    conditions = Conditions()
    for name in ("source", "type", "event_id"):
        conditions.equal(f"e.{name}", getattr(filters, name))
    conditions.at_least("e.occurred_at", filters.since)
    conditions.below("e.occurred_at", filters.until)
    if filters.status is not None:
        # A literal: with a parameter, a generic plan cannot use the partial indexes on pending and on dead deliveries.
        conditions.add(f"d.status = '{filters.status}'")
    if after is not None:
        event_no, _, address_hash = after.row_id.partition(".")
        position = (after.moment, int(event_no)) if is_by_time else (int(event_no),)
        events, values = ", ".join(f"e.{column}" for column in columns), ", ".join("{}" for _ in columns)
        # The first condition is for the index, which has no addresses.
        conditions.add(f"({events}) <= ({values})", *position)
        conditions.add(f"({events}, {ADDRESS_HASH}) < ({values}, {{}})", *position, address_hash)
    page = f"{order} LIMIT {int(limit)}"
    found = f"{DELIVERIES} WHERE {conditions}"
    if is_by_time and filters.source is None and filters.status in {None, "delivered"}:
        found = f"SELECT c.* FROM malls m CROSS JOIN LATERAL ({found} AND e.source = m.source {page}) c"
    return f"{_callbacks_of(f'{found} {page}')} {order}", conditions.values


def _callback(row: Row) -> OpsCallback:
    return OpsCallback(**{name: row[name] for name in OpsCallback.model_fields})


ATTEMPTS = """
SELECT kind, address, format, started_at, duration_ms, http_status, error FROM delivery_attempts
 WHERE event_id = $1 ORDER BY attempt_no
"""


async def read_callback(database: Database, event_id: str) -> OpsCallbackAttempts | None:
    """Returns an event with its deliveries and all their attempts; None if there is no such event."""
    async with connection(database) as conn:
        event = await conn.fetchrow("SELECT data FROM events WHERE event_id = $1", event_id)
        if event is None:
            return None
        rows = await conn.fetch(f"{_callbacks_of(f'{DELIVERIES} WHERE d.event_id = $1')} ORDER BY address_hash", event_id)
        attempts = await conn.fetch(ATTEMPTS, event_id)
    return OpsCallbackAttempts(
        event_id=event_id,
        data=json.loads(event["data"]),
        deliveries=[_callback(row) for row in rows],
        attempts=[CallbackAttempt(**row) for row in attempts],
    )


BACKLOG = """
SELECT (SELECT count(*) FROM deliveries WHERE status = 'pending') AS pending,
       (SELECT count(*) FROM deliveries WHERE status = 'dead') AS dead,
       (SELECT min(since) FROM deliveries WHERE status = 'pending') AS oldest
"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many deliveries are pending, and how many are dead."""

    pending: int
    dead: int
    oldest: datetime | None
    """when the oldest pending delivery became due for the first time"""


async def read_backlog(database: Database) -> Backlog:
    async with connection(database) as conn:
        return Backlog(**await fetch_one(conn, BACKLOG))
