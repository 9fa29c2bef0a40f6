"""The outbox: events and their deliveries are written in the transaction that makes the fact true."""

import json
from collections.abc import Sequence
from datetime import datetime

from db.core.connection import Connection
from domain.ids import event_id
from domain.lifecycle import Completion
from domain.schemas.events import EventType

# One event for each order, and a delivery to the order's callback, due at once: where to, says callback_addresses.sql.
ORDER_EVENTS = """
WITH named AS (
  SELECT o.*, k.event_id
    FROM unnest($1::text[], $2::text[]) AS k (order_id, event_id)
    -- OFFSET 0 makes the planner look each order up by its key; without statistics it might join the whole table.
    CROSS JOIN LATERAL (SELECT * FROM orders WHERE orders.order_id = k.order_id OFFSET 0) o
), event AS (
  INSERT INTO events (event_id, source, type, team_id, order_id, data, occurred_at)
  SELECT event_id, source, $3, team_id, order_id,
         jsonb_build_object('out_trade_no', out_trade_no, 'team_id', team_id) || $4::jsonb, $5
    FROM named ORDER BY out_trade_no
  RETURNING event_id
)
INSERT INTO deliveries (event_id, kind, address, format, status, attempts, since, next_attempt_at)
SELECT event_id, kind, address, callback_format, 'pending', 0, $5, $5
  FROM event JOIN named USING (event_id)
 CROSS JOIN LATERAL groupbuy_callback_addresses($3, callback_kind, callback_address, callback_format)
RETURNING event_id
"""

# A team's event leads to a delivery for each distinct address of the orders that it names.
TEAM_EVENT = """
WITH named AS (
  SELECT * FROM orders WHERE team_id = $2 AND out_trade_no = ANY($4::text[])
), event AS (
  INSERT INTO events (event_id, source, type, team_id, data, occurred_at)
  SELECT $1, source, $3, team_id,
         jsonb_build_object('team_id', team_id) || $5::jsonb || jsonb_build_object('out_trade_nos', to_jsonb($4::text[])), $6
    FROM teams WHERE team_id = $2
  RETURNING event_id, type, occurred_at
)
INSERT INTO deliveries (event_id, kind, address, format, status, attempts, since, next_attempt_at)
SELECT DISTINCT event_id, kind, address, callback_format, 'pending', 0, occurred_at, occurred_at
  FROM event, named, LATERAL groupbuy_callback_addresses(event.type, callback_kind, callback_address, callback_format)
RETURNING event_id
"""


async def record_order_events(
    conn: Connection,
    event_type: EventType,
    order_ids: Sequence[str],
    now: datetime,
    *,
    attempt: int = 1,
    **data: str | int,
) -> list[str]:
    """Records one event for each order, and returns the ids of those that a mall is to be told.

    `attempt` distinguishes the refunds of an order. Called in the transaction that changes the orders, after
    their quotas are updated. Locks no existing row.
    """
    if not order_ids:
        return []
    event_ids = [event_id(event_type, order, attempt) for order in order_ids]
    told = await conn.fetch(ORDER_EVENTS, list(order_ids), event_ids, event_type, json.dumps(data), now)
    return list(dict.fromkeys(row["event_id"] for row in told))  # once, however many addresses it goes to


async def record_team_event(
    conn: Connection,
    event_type: EventType,
    team_id: str,
    out_trade_nos: Sequence[str],
    now: datetime,
    **data: str | int,
) -> list[str]:
    """Records one event that names these orders of a team; returns its id, or nothing if no mall is to be told."""
    team_event = event_id(event_type, team_id)
    told = await conn.fetch(TEAM_EVENT, team_event, team_id, event_type, list(out_trade_nos), json.dumps(data), now)
    return [team_event] if told else []


PAID_MEMBERS = "SELECT out_trade_no FROM orders WHERE team_id = $1 AND status = 'paid' ORDER BY paid_at, out_trade_no"


async def record_team_completed(
    conn: Connection, team_id: str, campaign_id: int, completion: Completion, now: datetime
) -> list[str]:
    """Records that a team is complete, with its paid members in the order of their payments; returns as record_team_event.

    Called after the order of the last payment is paid, with the team's row locked.
    """
    members = [row["out_trade_no"] for row in await conn.fetch(PAID_MEMBERS, team_id)]
    data: dict[str, str | int] = {"campaign_id": campaign_id, "completion": completion}
    return await record_team_event(conn, EventType.TEAM_COMPLETED, team_id, members, now, **data)
