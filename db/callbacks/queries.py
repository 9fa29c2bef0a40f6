"""Reading events and their deliveries: a mall's feed, the operators' list, and how much is on its way."""

import json
from dataclasses import dataclass
from datetime import datetime

from db.callbacks.deliveries import assign_sequences
from db.callbacks.redelivery import DeliveryStatus
from db.core.connection import Database, Row, connection, fetch_one
from db.core.pagination import Conditions, Position
from domain.schemas.callbacks import CallbackAttempt, Event, OpsCallback, OpsCallbackAttempts
from domain.schemas.events import EventType

FEED = """
SELECT event_id, type, occurred_at, sequence, data FROM events
 WHERE source = $1 AND sequence > $2 ORDER BY sequence LIMIT $3
"""


async def read_feed(database: Database, source: str, after: int, limit: int) -> list[Event]:
    """A mall's events behind this sequence, without gaps: what was committed until now has its number before it is read."""
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


class CallbackConditions(Conditions):
    def compare(self, expression: str, *values: object) -> None:
        """`expression` ends with its operator; several values make a row."""
        if None not in values:
            begin = len(self.values) + 1
            self.values += values
            self.holds(f"{expression} ({', '.join(f'${begin + n}' for n in range(len(values)))})")

    def holds(self, condition: str) -> None:
        self._conditions.append(condition)


# A delivery has no number of its own: within an event, a hash of its address orders them.
PLACE = "md5(d.kind || ' ' || d.address || ' ' || d.format)"
CALLBACKS = f"""
SELECT d.*, e.source, e.type, e.team_id, e.sequence, e.occurred_at, e.event_no, {PLACE} AS place, o.out_trade_no,
       last.started_at AS last_attempt_at, last.http_status AS last_status, last.error AS last_error
  FROM deliveries d JOIN events e USING (event_id) LEFT JOIN orders o USING (order_id)
  LEFT JOIN LATERAL (
    SELECT * FROM delivery_attempts a
     WHERE a.event_id = d.event_id AND a.kind = d.kind AND a.address = d.address AND a.format = d.format
     ORDER BY attempt_no DESC LIMIT 1) last ON true
"""


async def list_callbacks(
    database: Database, wanted: CallbackFilter, after: Position | None, limit: int
) -> list[tuple[str, OpsCallback]]:
    """The newest event first; each of its addresses is a row. With each comes its place, for a cursor."""
    conditions = CallbackConditions()
    for name in ("source", "type", "event_id"):
        conditions.equal(f"e.{name}", getattr(wanted, name))
    conditions.compare("e.occurred_at >=", wanted.since)
    conditions.compare("e.occurred_at <", wanted.until)
    if wanted.status is not None:
        # Not as a value: the index of what is pending, or dead, is found by the word alone.
        conditions.holds(f"d.status = '{wanted.status}'")
    if after is not None:
        number, _, place = after.row_id.partition(".")
        conditions.compare(f"(e.event_no, {PLACE}) <", int(number), place)
    sql = f"{CALLBACKS} WHERE {conditions} ORDER BY e.event_no DESC, place DESC LIMIT {int(limit)}"
    async with connection(database) as conn:
        rows = await conn.fetch(sql, *conditions.values)
    return [(f"{row['event_no']}.{row['place']}", _callback(row)) for row in rows]


def _callback(row: Row) -> OpsCallback:
    return OpsCallback(**{name: row[name] for name in OpsCallback.model_fields})


ATTEMPTS = """
SELECT kind, address, format, started_at, duration_ms, http_status, error FROM delivery_attempts
 WHERE event_id = $1 ORDER BY attempt_no
"""


async def read_callback(database: Database, event_id: str) -> OpsCallbackAttempts | None:
    """One event with its deliveries and all attempts; None when there is no such event."""
    async with connection(database) as conn:
        event = await conn.fetchrow("SELECT data FROM events WHERE event_id = $1", event_id)
        if event is None:
            return None
        rows = await conn.fetch(f"{CALLBACKS} WHERE d.event_id = $1 ORDER BY place", event_id)
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
    """How much is on its way, and how much was given up."""

    pending: int
    dead: int
    oldest: datetime | None
    """since when the oldest pending one waits"""


async def read_backlog(database: Database) -> Backlog:
    async with connection(database) as conn:
        return Backlog(**await fetch_one(conn, BACKLOG))
