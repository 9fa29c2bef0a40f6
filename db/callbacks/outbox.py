"""The outbox: a fact that a mall must hear of is written in the transaction that makes it true."""

import json
from collections.abc import Sequence
from datetime import datetime

from db.core.connection import Connection
from domain.ids import event_id
from domain.schemas.events import EventType

# A delivery for each distinct address of the orders that an event names, due at once. An order in the original's format is told
# of its team's completion where it wants, of its refund over RabbitMQ alone (at a notifyUrl any body means "ship"), and of
# nothing else; but who is told over RabbitMQ anyway also hears there of orders that ended unpaid, which nobody has to act on.
ORDER_EVENTS = """
WITH named AS (
  SELECT o.*, k.event_id
    FROM unnest($1::text[], $2::text[]) AS k (order_id, event_id)
    -- By their keys, whatever the planner thinks of the table: OFFSET keeps it from reading all of it for a join.
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
  FROM event JOIN named USING (event_id),
       LATERAL (SELECT callback_kind, callback_address WHERE callback_format <> 'original'
                UNION ALL
                SELECT 'amqp', 'topic.team_refund'
                 WHERE callback_format = 'original'
                   AND ($3 = 'order.refunded' OR $3 = 'order.cancelled' AND callback_kind = 'amqp')) AS "at" (kind, address)
 WHERE callback_kind IS NOT NULL
"""

# What a team's event, in `event`, leads to: a delivery for each distinct address of the orders in `named`.
TEAM_DELIVERIES = """
INSERT INTO deliveries (event_id, kind, address, format, status, attempts, since, next_attempt_at)
SELECT DISTINCT event_id, callback_kind, callback_address, callback_format, 'pending', 0, occurred_at, occurred_at
  FROM event, named
 WHERE callback_kind IS NOT NULL AND (callback_format <> 'original' OR event.type = 'team.completed')
"""
TEAM_EVENT = f"""
WITH named AS (
  SELECT * FROM orders WHERE team_id = $2 AND out_trade_no = ANY($4::text[])
), event AS (
  INSERT INTO events (event_id, source, type, team_id, data, occurred_at)
  SELECT $1, source, $3, team_id,
         jsonb_build_object('team_id', team_id) || $5::jsonb || jsonb_build_object('out_trade_nos', to_jsonb($4::text[])), $6
    FROM teams WHERE team_id = $2
  RETURNING event_id, type, occurred_at
)
{TEAM_DELIVERIES}
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
    """One event for each order; returns their ids. `attempt` tells a refund's attempts apart.

    Inside the transaction that changed the orders, after their quotas: it locks no row of others.
    """
    event_ids = [event_id(event_type, order, attempt) for order in order_ids]
    if order_ids:
        await conn.execute(ORDER_EVENTS, list(order_ids), event_ids, event_type, json.dumps(data), now)
    return event_ids


async def record_team_event(
    conn: Connection,
    event_type: EventType,
    team_id: str,
    out_trade_nos: Sequence[str],
    now: datetime,
    **data: str | int,
) -> str:
    """One event that names these orders of a team; returns its id."""
    made = event_id(event_type, team_id)
    await conn.execute(TEAM_EVENT, made, team_id, event_type, list(out_trade_nos), json.dumps(data), now)
    return made
