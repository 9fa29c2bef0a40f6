"""Sending again: what was given up, or was taken and is wanted once more, is due at once and has its three days anew."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from db.core.connection import Database, Row, connection, transaction
from domain.ids import event_id
from domain.schemas.events import EventType

DeliveryStatus = Literal["pending", "delivered", "dead"]


@dataclass(frozen=True, slots=True)
class RedeliverySlice:
    """Who has to be woken."""

    event_ids: list[str]
    """due again; whoever delivers them may begin"""
    refunds: list[str]
    """order ids whose refund is under way: its workflow makes its event due again, and goes on when the mall has it"""


# What a refund asks or tells belongs to its workflow, as long as that is not over. A question that has its answer is not asked
# again.
CANDIDATES = """
SELECT DISTINCT e.event_no, d.event_id, e.type, e.order_id, r.attempt, r.answer
  FROM deliveries d JOIN events e USING (event_id)
  LEFT JOIN refunds r ON r.order_id = e.order_id AND r.finished_at IS NULL
"""
OF_EVENT = f"{CANDIDATES} WHERE d.event_id = $1 AND ($2::text IS NULL OR e.source = $2)"
# A refund that somebody has closed by hand was told elsewhere: who sends a whole day again does not mean that.
OF_RANGE = f"""
{CANDIDATES}
 WHERE e.source = $1 AND e.occurred_at >= $2 AND e.occurred_at < $3 AND d.status = $4
   AND NOT (e.type = 'order.refunded' AND d.status = 'dead' AND r.attempt IS NULL
            AND EXISTS (SELECT FROM refunds WHERE order_id = e.order_id AND status = 'done' AND operator IS NOT NULL))
 ORDER BY e.event_no
"""
AGAIN = """
UPDATE deliveries SET status = 'pending', attempts = 0, since = $2, next_attempt_at = $2, finished_at = NULL
 WHERE event_id = ANY($1::text[])
"""
KNOWN = "SELECT EXISTS (SELECT FROM events WHERE event_id = $1 AND ($2::text IS NULL OR source = $2))"


async def resend_event(database: Database, event: str, source: str | None, now: datetime) -> RedeliverySlice | None:
    """One event, to each of its addresses, whatever became of it; None when this mall (None: any) has no such event."""
    async with transaction(database) as conn:
        if not await conn.fetchval(KNOWN, event, source):
            return None
        resent = _divided(await conn.fetch(OF_EVENT, event, source))
        await conn.execute(AGAIN, resent.event_ids, now)
    return resent


async def resend_range(
    database: Database, source: str, since: datetime, until: datetime, status: DeliveryStatus, now: datetime
) -> RedeliverySlice:
    """What has this status among a mall's events of a time, in their order."""
    async with transaction(database) as conn:
        resent = _divided(await conn.fetch(OF_RANGE, source, since, until, status))
        await conn.execute(f"{AGAIN} AND status = $3", resent.event_ids, now, status)
    return resent


def _divided(rows: list[Row]) -> RedeliverySlice:
    resent = RedeliverySlice([], [])
    for row in rows:
        is_question = row["type"] == EventType.ORDER_REFUND_REQUESTED
        is_of_refund = is_question or row["type"] == EventType.ORDER_REFUNDED
        attempt = row["attempt"]
        if is_of_refund and attempt and event_id(row["type"], row["order_id"], attempt) == row["event_id"]:
            if not (is_question and row["answer"]):
                resent.refunds.append(row["order_id"])
        elif not is_question:
            resent.event_ids.append(row["event_id"])
    return resent


# Those that an earlier try of this step has made due are named again.
REVIVE_TEAM = """
UPDATE deliveries d SET status = 'pending', attempts = 0, since = $2, next_attempt_at = $2, finished_at = NULL
  FROM events e
 WHERE e.event_id = d.event_id AND e.team_id = $1 AND e.type NOT IN ('order.refund_requested', 'order.refunded')
   AND (d.status = 'dead' OR d.status = 'pending' AND d.since = $2)
RETURNING e.event_no, d.event_id
"""


async def revive_team(database: Database, team_id: str, now: datetime) -> list[str]:
    """Makes what was given up of a team's events due again; a refund's events are its workflow's."""
    async with connection(database) as conn:
        rows = await conn.fetch(REVIVE_TEAM, team_id, now)
    return list(dict.fromkeys(row["event_id"] for row in sorted(rows, key=lambda row: row["event_no"])))
