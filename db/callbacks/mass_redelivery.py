"""Redelivery of a mall's events of a time range, in slices: its row says which, who asked for it, and how far it is."""

from dataclasses import dataclass
from datetime import datetime

from db.callbacks.redelivery import RedeliverySlice, split_by_driver
from db.core.connection import Connection, Database, connection, fetch_one, transaction
from db.settings.audit import find_changed, hold_repeats, record_act
from domain.ids import redelivery_workflow_id
from domain.messages.acts import Act, Outcome
from domain.messages.callbacks import RedeliveryState
from domain.schemas.redeliveries import Redelivery, RedeliveryRange
from domain.schemas.workflows import WorkflowLink
from domain.types import rfc3339

SLICE = 200
"""events that are looked at in one transaction"""
MAX_PENDING = 500
"""callbacks that wait for another attempt; where there are more, because the mall takes none, only a probe follows"""
PROBE = 10
"""events of a probe: those that fail may have an address of their own"""
MAX_COUNT = 1_000_000
"""events that are counted beforehand; more of them would keep the request waiting"""

# What an answer or an operator has settled is not sent again.
MATCHES = """
    EXISTS (SELECT FROM deliveries d WHERE d.event_id = e.event_id AND (d.status = $4 OR $4 = 'all' AND d.status <> 'closed'))
AND (e.type <> 'order.refund_requested'
     OR EXISTS (SELECT FROM refunds q WHERE q.question = e.event_id AND q.answer IS NULL AND q.finished_at IS NULL))
"""
COUNT = f"""
SELECT count(*) FROM (SELECT FROM events e WHERE e.source = $1 AND e.occurred_at >= $2 AND e.occurred_at < $3 AND {MATCHES}
                       LIMIT {MAX_COUNT}) AS found
"""
FIND = """
SELECT redelivery_id FROM redeliveries WHERE source = $1 AND since = $2 AND until = $3 AND status = $4 AND finished_at IS NULL
"""
END_OLD = """
UPDATE redeliveries SET finished_at = $5
 WHERE source = $1 AND since = $2 AND until = $3 AND status = $4 AND finished_at IS NULL AND gives_up_at <= $5
"""
INSERT = """
INSERT INTO redeliveries (source, since, until, status, count, resent, refunds, after_at, after_no, is_exhausted, requested_by,
                          requested_at, gives_up_at, finished_at)
VALUES ($1, $2, $3, $4, $5::bigint, 0, 0, $2, 0, $5::bigint = 0, $6, $7, $8, CASE WHEN $5::bigint = 0 THEN $7::timestamptz END)
ON CONFLICT (source, since, until, status) WHERE finished_at IS NULL DO NOTHING
RETURNING redelivery_id
"""


async def begin_redelivery(
    database: Database, wanted: RedeliveryRange, *, act: Act, now: datetime, gives_up_at: datetime
) -> Redelivery:
    """Begins a redelivery; while one of the same range is unfinished, returns that. Either is recorded as the act's outcome.

    The same act again returns the redelivery of the first time, finished or not.
    """
    key = (wanted.source, wanted.since, wanted.until, wanted.status)
    async with transaction(database) as conn:
        await hold_repeats(conn, act.id)
        repeated = await find_changed(conn, "redelivery", act.id)
        if repeated is not None and (earlier := await _read(conn, int(repeated))):
            return earlier
        await conn.execute(END_OLD, *key, now)
        redelivery_id = await conn.fetchval(FIND, *key)
        count, begun = 0, None
        if redelivery_id is None:
            count = await conn.fetchval(COUNT, wanted.source, wanted.since, min(wanted.until, now), wanted.status)
            redelivery_id = begun = await conn.fetchval(INSERT, *key, count, act.author.operator, now, gives_up_at)
            if begun is None:  # another request was faster
                redelivery_id = await conn.fetchval(FIND, *key)
        outcome = _outcome(wanted, count if begun else None)
        await record_act(conn, f"redelivery/{redelivery_id}", "resend", act, outcome, now)
        redelivery = await _read(conn, redelivery_id)
    if redelivery is None:
        raise LookupError(f"no redelivery {redelivery_id}")
    return redelivery


def _outcome(wanted: RedeliveryRange, count: int | None) -> Outcome:
    """`count`: the events of a redelivery that begins; None where one of the same range is under way."""
    events = f"{wanted.status} event(s) of {wanted.source} from {rfc3339(wanted.since)} to {rfc3339(wanted.until)}"
    if count is None:
        return Outcome(changed=False, detail=f"A redelivery of {events} is under way already.")
    detail = f"{count} {events} are sent again." if count else f"{count} {events} were found."
    return Outcome(changed=count > 0, detail=detail)


READ = """
SELECT r.*, sent.* FROM redeliveries r,
       LATERAL (SELECT count(*) FILTER (WHERE status = 'delivered') AS delivered,
                       count(*) FILTER (WHERE status = 'dead') AS dead,
                       count(*) FILTER (WHERE status = 'pending') AS pending,
                       min(next_attempt_at) FILTER (WHERE status = 'pending') AS next_attempt_at
                  FROM deliveries WHERE redelivery_id = r.redelivery_id) AS sent
 WHERE r.redelivery_id = $1
"""


async def read_redelivery(database: Database, redelivery_id: int) -> Redelivery | None:
    """Returns a redelivery with its present counts; None if there is none such."""
    async with connection(database) as conn:
        return await _read(conn, redelivery_id)


async def _read(conn: Connection, redelivery_id: int) -> Redelivery | None:
    row = await conn.fetchrow(READ, redelivery_id)
    if row is None:
        return None
    workflow = WorkflowLink(id=redelivery_workflow_id(row["source"], redelivery_id)) if row["count"] else None
    fields = Redelivery.model_fields.keys() - {"workflow"}
    return Redelivery(**{name: row[name] for name in fields}, workflow=workflow)


# --- the steps of its workflow ---


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last event that was looked at."""

    at: datetime
    number: int


@dataclass(frozen=True, slots=True)
class Slice:
    """The next events of a redelivery: everything between two cursors."""

    events: RedeliverySlice
    after: Cursor
    until: Cursor
    is_last: bool
    is_probe: bool


RETRY_NOW = "UPDATE deliveries SET next_attempt_at = $2 WHERE redelivery_id = $1 AND status = 'pending'"
DUE = f"""
SELECT event_id FROM deliveries WHERE redelivery_id = $1 AND status = 'pending' AND next_attempt_at <= $2
 ORDER BY next_attempt_at LIMIT {SLICE}
"""


async def due_events(database: Database, redelivery_id: int, now: datetime, *, again: bool) -> list[str]:
    """Returns events of a redelivery with a callback that is due; `again` makes due what waits for its next attempt."""
    async with connection(database) as conn:
        if again:
            await conn.execute(RETRY_NOW, redelivery_id, now)
        return list(dict.fromkeys(row["event_id"] for row in await conn.fetch(DUE, redelivery_id, now)))


UNFINISHED = f"""
SELECT r.*, {MAX_PENDING} <= (SELECT count(*) FROM deliveries WHERE redelivery_id = $1 AND status = 'pending') AS is_probe
  FROM redeliveries r WHERE redelivery_id = $1 AND NOT is_exhausted AND gives_up_at > $2
"""
NEXT = f"""
SELECT e.event_no, e.occurred_at, e.event_id, e.type, e.order_id, {MATCHES} AS matches, r.attempt, r.answer
  FROM (SELECT * FROM events WHERE source = $1 AND (occurred_at, event_no) > ($2, $3) AND occurred_at < $5
         ORDER BY occurred_at, event_no LIMIT $6) e
  LEFT JOIN refunds r ON r.order_id = e.order_id AND r.finished_at IS NULL
 ORDER BY e.occurred_at, e.event_no
"""


async def next_slice(database: Database, redelivery_id: int, now: datetime) -> Slice | None:
    """Returns the events that are to be made due next; None: there are none."""
    async with connection(database) as conn:
        job = await conn.fetchrow(UNFINISHED, redelivery_id, now)
        if job is None:
            return None
        # What happened after the request is no part of it: otherwise a range that ends in the future would never end.
        end = min(job["until"], job["requested_at"])
        limit = PROBE if job["is_probe"] else SLICE
        rows = await conn.fetch(NEXT, job["source"], job["after_at"], job["after_no"], job["status"], end, limit)
    after = Cursor(job["after_at"], job["after_no"])
    return Slice(
        events=split_by_driver([row for row in rows if row["matches"]]),
        after=after,
        until=Cursor(rows[-1]["occurred_at"], rows[-1]["event_no"]) if rows else after,
        is_last=len(rows) < limit,
        is_probe=job["is_probe"],
    )


ADVANCE = """
UPDATE redeliveries
   SET after_at = $4, after_no = $5, is_exhausted = $6, resent = resent + $7 + $8, refunds = refunds + $8
 WHERE redelivery_id = $1 AND (after_at, after_no) = ($2, $3)
RETURNING status, requested_at
"""
# `since` is the same for all of them, so that all are given up when the redelivery is.
REVIVE = """
UPDATE deliveries
   SET status = 'pending', attempts = 0, since = $4, next_attempt_at = $3, finished_at = NULL, redelivery_id = $2
 WHERE event_id = ANY($1::text[]) AND (status = $5 OR $5 = 'all' AND status <> 'closed')
"""


async def revive_slice(database: Database, redelivery_id: int, slice_: Slice, now: datetime) -> bool:
    """Makes the slice due and moves the cursor; returns False, and changes nothing, where that has been done before."""
    counts = (len(slice_.events.event_ids), len(slice_.events.refunds))
    async with transaction(database) as conn:
        moved = (slice_.after.at, slice_.after.number, slice_.until.at, slice_.until.number, slice_.is_last)
        job = await conn.fetchrow(ADVANCE, redelivery_id, *moved, *counts)
        if job is not None:
            await conn.execute(REVIVE, slice_.events.event_ids, redelivery_id, now, job["requested_at"], job["status"])
    return job is not None


# What is still pending when it is given up is left to reconciliation.
FINISH = """
UPDATE redeliveries SET finished_at = $2
 WHERE redelivery_id = $1 AND finished_at IS NULL
   AND (gives_up_at <= $2
        OR is_exhausted AND NOT EXISTS (SELECT FROM deliveries WHERE redelivery_id = $1 AND status = 'pending'))
"""


async def redelivery_state(database: Database, redelivery_id: int, now: datetime) -> RedeliveryState:
    """Returns how far a redelivery is; finishes it when nothing is left to do."""
    async with connection(database) as conn:
        await conn.execute(FINISH, redelivery_id, now)
        row = await fetch_one(conn, READ, redelivery_id)
    names = ("count", "resent", "refunds", "delivered", "pending", "dead")
    return RedeliveryState(
        finished=row["finished_at"] is not None,
        next_attempt_at=row["next_attempt_at"] if row["is_exhausted"] else None,
        **{name: row[name] for name in names},
    )
