"""Deliveries of events: which are pending, and what each attempt resulted in."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from db.core.connection import Database, Row, connection, fetch_one, transaction
from db.core.planner_hints import IS_PENDING
from domain.lifecycle import MallAnswer
from domain.messages.callbacks import Sample
from domain.schemas.events import EventType

# A transaction of its own, as one statement: functions/assign_sequences.sql.
ASSIGN_SEQUENCES = "SELECT groupbuy_assign_sequences($1)"


async def assign_sequences(database: Database, source: str) -> None:
    """Numbers a mall's committed events without gaps; two events of the same order are numbered in the order of their facts."""
    async with connection(database) as conn:
        await conn.execute(ASSIGN_SEQUENCES, source)


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that is to be delivered to one address."""

    event_id: str
    kind: str
    address: str
    format: str
    source: str
    type: str
    occurred_at: datetime
    sequence: int
    data: str
    """JSON as stored"""
    secrets: tuple[str, ...] = field(repr=False)
    hosts: tuple[str, ...]
    """the hosts that the mall has registered at present"""
    routing_key_prefixes: tuple[str, ...]
    local: bool
    attempts: int
    since: datetime
    """begin of the retry period"""
    next_attempt_at: datetime
    order_id: str | None = None
    user_id: str | None = None
    campaign_id: int | None = None


PENDING = f"""
SELECT d.event_id, d.kind, d.address, d.format, m.source, e.type, e.occurred_at, e.sequence, e.data,
       m.webhook_secrets AS secrets, m.callback_hosts AS hosts, m.routing_key_prefixes, m.local,
       d.attempts, d.since, d.next_attempt_at,
       o.order_id, o.user_id, o.campaign_id
  FROM deliveries d JOIN events e USING (event_id) JOIN malls m USING (source) LEFT JOIN orders o USING (order_id)
 WHERE d.event_id = ANY($1::text[]) AND d.{IS_PENDING}
 ORDER BY e.sequence, d.address
"""


async def pending_deliveries(database: Database, event_ids: list[str]) -> list[Delivery]:
    """Returns the pending deliveries of these events, numbering the events first if they have no sequence."""
    rows = await _pending(database, event_ids)
    unnumbered = {row["source"] for row in rows if row["sequence"] is None}
    if unnumbered:
        for source in sorted(unnumbered):
            await assign_sequences(database, source)
        rows = await _pending(database, event_ids)
    arrays = ("secrets", "hosts", "routing_key_prefixes")
    return [Delivery(**{**row, **{name: tuple(row[name]) for name in arrays}}) for row in rows]


async def _pending(database: Database, event_ids: list[str]) -> list[Row]:
    async with connection(database) as conn:
        return await conn.fetch(PENDING, event_ids)


DeliveryStatus = Literal["delivered", "pending", "dead", "closed"]
"""closed: needs no delivery, because its question is answered, or an operator told the mall by other means"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of an attempt, and the delivery's status after it."""

    started_at: datetime
    duration_ms: int
    http_status: int | None
    error: str | None
    status: DeliveryStatus
    next_attempt_at: datetime
    answer: MallAnswer | None = None
    """to order.refund_requested"""
    note: str = ""


# Only a pending delivery changes, and only in the retry period ($11) in which the attempt began: the late result of a slow one
# can neither reopen a finished delivery nor end one that was asked for meanwhile. But an answer ($12) ends a question in any.
RECORD_ATTEMPT = """
WITH attempt AS (
  INSERT INTO delivery_attempts (event_id, kind, address, format, started_at, duration_ms, http_status, error)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
)
UPDATE deliveries
   SET attempts = attempts + 1, status = $9, next_attempt_at = $10,
       finished_at = CASE WHEN $9 = 'pending' THEN NULL ELSE $5::timestamptz + $6 * interval '1 millisecond' END
 WHERE event_id = $1 AND kind = $2 AND address = $3 AND format = $4 AND status = 'pending' AND (since = $11 OR $12)
"""
# Without waiting for the disk: an attempt lost in a crash of the database is repeated. Not where a later step relies on it,
# which would be committed after the crash, although what it followed from was lost.
RECORD_ATTEMPT_ASYNC = f"{RECORD_ATTEMPT} AND set_config('synchronous_commit', 'off', true) = 'off'"


# The first answer holds, the mall's or an operator's for it.
RECORD_ANSWER = "UPDATE refunds SET answer = $2, note = nullif($3, '') WHERE question = $1 AND answer IS NULL"


async def record_attempt(database: Database, delivery: Delivery, attempt: Attempt) -> None:
    """Stores an attempt and the delivery's new status; an answer to a refund request is stored in the same transaction."""
    must_be_durable = attempt.answer is not None or delivery.type == EventType.ORDER_REFUNDED
    async with transaction(database) if attempt.answer else connection(database) as conn:
        if attempt.answer:
            await conn.execute(RECORD_ANSWER, delivery.event_id, attempt.answer, attempt.note)
        await conn.execute(
            RECORD_ATTEMPT if must_be_durable else RECORD_ATTEMPT_ASYNC,
            delivery.event_id,
            delivery.kind,
            delivery.address,
            delivery.format,
            attempt.started_at,
            attempt.duration_ms,
            attempt.http_status,
            attempt.error,
            attempt.status,
            attempt.next_attempt_at,
            delivery.since,
            attempt.answer is not None,
        )


PROGRESS = """
SELECT count(*) FILTER (WHERE status = 'pending') AS pending, count(*) FILTER (WHERE status = 'delivered') AS delivered,
       count(*) FILTER (WHERE status = 'dead') AS dead, min(next_attempt_at) FILTER (WHERE status = 'pending') AS due
  FROM deliveries WHERE event_id = ANY($1::text[])
"""


@dataclass(frozen=True, slots=True)
class DeliveryProgress:
    """Counts the deliveries of some events by status."""

    pending: int
    delivered: int
    dead: int
    due: datetime | None
    """when the next attempt is due; None if none is pending"""


async def delivery_progress(database: Database, event_ids: list[str]) -> DeliveryProgress:
    async with connection(database) as conn:
        return DeliveryProgress(**await fetch_one(conn, PROGRESS, event_ids))


READ_CALLBACK_SETTINGS = "SELECT webhook_secrets, callback_hosts, routing_key_prefixes, local FROM malls WHERE source = $1"


async def sample_delivery(database: Database, sample: Sample) -> Delivery:
    """Builds the delivery of a sample, which has no row and no sequence."""
    async with connection(database) as conn:
        mall = await fetch_one(conn, READ_CALLBACK_SETTINGS, sample.source)
    return Delivery(
        event_id=sample.event_id,
        kind=sample.callback.kind,
        address=sample.callback.address,
        format=sample.callback.format,
        source=sample.source,
        type=sample.type,
        occurred_at=sample.now,
        sequence=0,
        data=sample.data,
        secrets=tuple(mall["webhook_secrets"]),
        hosts=tuple(mall["callback_hosts"]),
        routing_key_prefixes=tuple(mall["routing_key_prefixes"]),
        local=mall["local"],
        attempts=0,
        since=sample.now,
        next_attempt_at=sample.now,
    )
