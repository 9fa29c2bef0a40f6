"""Redelivery of an event or a team: dead or delivered callbacks become due at once, with a new retry period."""

from dataclasses import dataclass, replace
from datetime import datetime

from db.core.connection import Connection, Database, Row, transaction
from db.orders.release import LOCK_TEAM
from db.settings.audit import find_outcome, hold_repeats, record_act
from domain.ids import event_id
from domain.messages.acts import Act, Outcome
from domain.messages.callbacks import RevivedCallbacks
from domain.schemas.events import EventType


@dataclass(frozen=True, slots=True)
class RedeliverySlice:
    """The events to redeliver, by who does it."""

    event_ids: list[str]
    """now due: a redelivery workflow delivers them"""
    refunds: list[str]
    """ids of orders with a refund in progress: the refund's workflow makes its event due and delivers it"""
    outcome: Outcome | None = None
    """of the operator's act; none: nobody's, or one that the workflows of these refunds record"""


# Events of an unfinished refund are redelivered by its workflow alone, which waits for them. An order.refund_requested that has
# been answered is not sent again.
CANDIDATES = """
SELECT DISTINCT e.event_no, d.event_id, e.type, e.order_id, r.attempt, r.answer
  FROM deliveries d JOIN events e USING (event_id)
  LEFT JOIN refunds r ON r.order_id = e.order_id AND r.finished_at IS NULL
"""
EVENT_CANDIDATES = f"{CANDIDATES} WHERE d.event_id = $1 AND ($2::text IS NULL OR e.source = $2)"
DUE_AGAIN = "status = 'pending', attempts = 0, since = $2, next_attempt_at = $2, finished_at = NULL, redelivery_id = NULL"
"""SQL: makes deliveries due at $2, with a new retry period"""
MAKE_DUE = f"UPDATE deliveries SET {DUE_AGAIN} WHERE event_id = ANY($1::text[])"
EVENT_EXISTS = "SELECT EXISTS (SELECT FROM events WHERE event_id = $1 AND ($2::text IS NULL OR source = $2))"


async def redeliver_event(
    database: Database, event: str, source: str | None, now: datetime, act: Act | None = None
) -> RedeliverySlice | None:
    """Makes an event due at each of its addresses, whatever its status; returns None if the mall (None: any) has none such.

    The same act again makes nothing due, and has the first one's outcome.
    """
    async with transaction(database) as conn:
        if act is not None:
            await hold_repeats(conn, act.id)
            if earlier := await find_outcome(conn, f"callback/{event}", act):
                return RedeliverySlice([], [], earlier)
        if not await conn.fetchval(EVENT_EXISTS, event, source):
            return None
        slice_ = split_by_driver(await conn.fetch(EVENT_CANDIDATES, event, source))
        await conn.execute(MAKE_DUE, slice_.event_ids, now)
        if act is None or slice_.refunds:
            return slice_
        return replace(slice_, outcome=await _record(conn, event, slice_, act, now))


async def _record(conn: Connection, event: str, slice_: RedeliverySlice, act: Act, now: datetime) -> Outcome:
    is_sent = bool(slice_.event_ids)
    detail = "It is sent again." if is_sent else "It has no address, or is a question that has its answer."
    return await record_act(conn, f"callback/{event}", "resend", act, Outcome(changed=is_sent, detail=detail), now)


def split_by_driver(rows: list[Row]) -> RedeliverySlice:
    """Sorts candidates by who delivers them; leaves out questions that have their answer."""
    slice_ = RedeliverySlice([], [])
    for row in rows:
        is_request = row["type"] == EventType.ORDER_REFUND_REQUESTED
        is_of_refund = is_request or row["type"] == EventType.ORDER_REFUNDED
        attempt = row["attempt"]
        if is_of_refund and attempt and event_id(row["type"], row["order_id"], attempt) == row["event_id"]:
            if not (is_request and row["answer"]):
                slice_.refunds.append(row["order_id"])
        elif not is_request:
            slice_.event_ids.append(row["event_id"])
    return slice_


# Includes what an earlier attempt of the same activity made due (since = $2), so that its retry returns the same events.
REDELIVER_TEAM = f"""
UPDATE deliveries d SET {DUE_AGAIN}
  FROM events e
 WHERE e.event_id = d.event_id AND e.team_id = $1 AND e.type NOT IN ('order.refund_requested', 'order.refunded')
   AND (d.status = 'dead' OR d.status = 'pending' AND d.since = $2)
RETURNING e.event_no, d.event_id
"""


async def redeliver_team(database: Database, team_id: str, act: Act, now: datetime) -> RevivedCallbacks:
    """Makes a team's dead callbacks due and returns their events; events of refunds are left to the refunds' workflows."""
    subject = f"team/{team_id}"
    async with transaction(database) as conn:
        await conn.execute(LOCK_TEAM, team_id)  # attempts of one activity do not overlap: the act is recorded once
        rows = await conn.fetch(REDELIVER_TEAM, team_id, now)
        event_ids = list(dict.fromkeys(row["event_id"] for row in sorted(rows, key=lambda row: row["event_no"])))
        outcome = await find_outcome(conn, subject, act)
        if outcome is None:
            detail = f"{len(event_ids)} event(s) are sent again." if event_ids else "Nothing was given up."
            outcome = Outcome(changed=bool(event_ids), detail=detail)
            await record_act(conn, subject, "resend_callbacks", act, outcome, now)
    return RevivedCallbacks(event_ids=event_ids, outcome=outcome)
