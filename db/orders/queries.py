"""Reads orders as they are now, and what a request for a seat or a payment needs to know of them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from db.core.connection import Database, Row, connection, fetch_one
from db.core.pagination import Conditions, Position
from db.core.planner_hints import equal_pair
from db.orders.terms import TeamTerms, team_terms, terms_columns
from db.teams.queries import MEMBERS, team_from_row
from domain.ids import team_workflow_id
from domain.lifecycle import OrderStatus, PaymentOutcome, PaymentReason
from domain.limits import LAPSE_MEMORY
from domain.messages.orders import SeatRequest
from domain.schemas.orders import OpsOrder, Order
from domain.schemas.teams import Team
from domain.schemas.workflows import WorkflowLink


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """An order, with the columns that are not in the public JSON."""

    order: Order
    opened_team: bool
    paid_amount: Decimal | None
    payment_outcome: PaymentOutcome | None
    payment_reason: PaymentReason | None


ORDER = "SELECT * FROM orders WHERE source = $1 AND out_trade_no = $2"


async def read_order(database: Database, source: str, out_trade_no: str) -> OrderRecord | None:
    async with connection(database) as conn:
        row = await conn.fetchrow(ORDER, source, out_trade_no)
    return order_record(row) if row else None


@dataclass(frozen=True, slots=True)
class PayableOrder:
    """What a payment needs to know of its order."""

    order_id: str
    team_id: str
    paid_amount: Decimal | None
    """of the payment that was reported first; None: there is none"""


PAYABLE = "SELECT order_id, team_id, paid_amount FROM orders WHERE source = $1 AND out_trade_no = $2"


async def read_payable_order(database: Database, source: str, out_trade_no: str) -> PayableOrder | None:
    async with connection(database) as conn:
        row = await conn.fetchrow(PAYABLE, source, out_trade_no)
    return PayableOrder(**row) if row else None


@dataclass(frozen=True, slots=True)
class OrderLookup:
    """What one read tells about a request for a seat: enough to answer a repeat, and to refuse most requests early."""

    record: OrderRecord | None
    """the order of this out_trade_no, if there is one"""
    team: TeamTerms | None
    """of the team that is joined; None: no team with this id has this mall, goods and campaign"""
    full: bool
    seated: bool
    """the user has a live order in the team"""
    unpaid: int
    """the user's locked orders in this mall"""
    unpaid_until: datetime | None
    """when the first of these is released: the end of its payment window and grace"""
    lapsed: int
    """the user's orders in this mall that were cancelled unpaid within LAPSE_MEMORY"""
    asked_at: datetime
    """by the database's clock"""


LOOKUP = f"""
SELECT o.*, t.team_id AS found_team_id, t.lock_count >= t.target_count AS full,
       EXISTS (SELECT FROM orders s
                WHERE {equal_pair("s.team_id, s.user_id", "$3, $4")} AND s.live) AS seated,
       {terms_columns(user="$4", channel="$8")},
       l.unpaid, l.unpaid_until, l.lapsed, clock_timestamp() AS asked_at
  FROM (SELECT) AS one
  LEFT JOIN orders o ON o.source = $1 AND o.out_trade_no = $2
  LEFT JOIN teams t
         ON t.team_id = $3 AND t.source = $1 AND t.goods_id = $5 AND ($6::int IS NULL OR t.campaign_id = $6)
  LEFT JOIN campaigns c ON c.campaign_id = t.campaign_id
 CROSS JOIN (
   SELECT count(*) FILTER (WHERE status = 'locked') AS unpaid,
          -- A subquery, so that the teams of orders that are not locked are not read.
          min(lock_expires_at + (SELECT payment_grace FROM teams g WHERE g.team_id = latest.team_id) * interval '1 second')
            FILTER (WHERE status = 'locked') AS unpaid_until,
          count(*) FILTER (WHERE cancel_reason = 'lock_timeout' AND cancelled_at > $7) AS lapsed
     -- The latest orders are enough, and orders_user_idx has them; an index on status would be written by every payment.
     FROM (SELECT team_id, status, lock_expires_at, cancel_reason, cancelled_at FROM orders
            WHERE {equal_pair("user_id, source", "$4, $1")}
            ORDER BY source DESC, locked_at DESC, order_id DESC LIMIT 1000) AS latest
 ) AS l
"""


async def look_up_order(database: Database, request: SeatRequest, now: datetime) -> OrderLookup:
    async with connection(database) as conn:
        row = await fetch_one(
            conn,
            LOOKUP,
            request.source,
            request.out_trade_no,
            request.team_id,
            request.user_id,
            request.goods_id,
            request.campaign_id,
            now - LAPSE_MEMORY,
            request.channel,
        )
    return OrderLookup(
        record=order_record(row) if row["order_id"] is not None else None,
        team=team_terms(row, request, now) if row["found_team_id"] is not None else None,
        full=bool(row["full"]),
        seated=row["seated"],
        unpaid=row["unpaid"],
        unpaid_until=row["unpaid_until"],
        lapsed=row["lapsed"],
        asked_at=row["asked_at"],
    )


ORDER_AND_TEAM = f"""
SELECT o AS "order", t AS team, {MEMBERS}
  FROM orders o JOIN teams t USING (team_id) WHERE o.source = $1 AND o.out_trade_no = $2
"""


async def read_order_and_team(database: Database, source: str, out_trade_no: str) -> tuple[OrderRecord, Team]:
    """Reads an order and its team in one snapshot.

    Raises:
        LookupError: there is no such order.
    """
    async with connection(database) as conn:
        row = await fetch_one(conn, ORDER_AND_TEAM, source, out_trade_no)
    return order_record(row["order"]), team_from_row(row["team"], row)


@dataclass(frozen=True, slots=True)
class OrderFilter:
    order_id: str | None = None
    source: str | None = None
    user_id: str | None = None
    team_id: str | None = None
    campaign_id: int | None = None
    status: OrderStatus | None = None
    out_trade_no: str | None = None
    owed: bool | None = None
    """whether its money is still to be returned"""


OWED = "(o.status = 'refunding' OR o.status = 'paid' AND t.status = 'failed')"
# The same orders, found by the indexes of refunding orders and of failed teams instead of by a look at every order.
OWED_ORDERS = """o.order_id IN (
  SELECT order_id FROM orders WHERE status = 'refunding'
  UNION ALL
  SELECT m.order_id FROM teams f JOIN orders m USING (team_id)
   WHERE f.status = 'failed' AND f.complete_count > 0 AND m.status = 'paid')"""


async def list_orders(database: Database, filters: OrderFilter, after: Position | None, limit: int) -> list[Order]:
    """Returns orders as their mall sees them, newest first."""
    return [order_record(row).order for row in await _fetch(database, filters, after, limit)]


async def list_ops_orders(database: Database, filters: OrderFilter, after: Position | None, limit: int) -> list[OpsOrder]:
    """Returns orders as operators see them, newest first."""
    rows = await _fetch(database, filters, after, limit)
    return [OpsOrder(**order_record(row).order.model_dump(), source=row["source"], owed=row["owed"]) for row in rows]


def order_key(order: OpsOrder) -> tuple[datetime, str]:
    """Returns what the list above is sorted by."""
    return order.locked_at, order.order_id


async def _fetch(database: Database, filters: OrderFilter, after: Position | None, limit: int) -> list[Row]:
    conditions = Conditions()
    for name in ("order_id", "source", "user_id", "team_id", "campaign_id", "out_trade_no"):
        conditions.equal(f"o.{name}", getattr(filters, name))
    if filters.status is not None:
        # A literal: with a parameter, a generic plan cannot use the partial indexes on statuses that few orders have.
        conditions.add(f"o.status = '{filters.status}'")
    if filters.status is OrderStatus.LOCKED:
        conditions.add("t.status = 'forming'")  # as every locked order's, and there is an index of these teams
    if filters.owed:
        conditions.add(OWED_ORDERS)
    elif filters.owed is not None:
        conditions.add(f"NOT {OWED}")
    conditions.after("o.locked_at, o.order_id", after)
    sql = f"""
        SELECT o.*, {OWED} AS owed FROM orders o JOIN teams t USING (team_id)
         WHERE {conditions} ORDER BY o.locked_at DESC, o.order_id DESC LIMIT {int(limit)}
    """
    async with connection(database) as conn:
        return await conn.fetch(sql, *conditions.values)


def order_record(row: Row) -> OrderRecord:
    """Converts a row with the columns of `orders`."""
    return OrderRecord(
        order=Order(
            order_id=row["order_id"],
            out_trade_no=row["out_trade_no"],
            user_id=row["user_id"],
            team_id=row["team_id"],
            campaign_id=row["campaign_id"],
            goods_id=row["goods_id"],
            channel=row["channel"],
            status=row["status"],
            original_price=row["original_price"],
            deduction=row["deduction"],
            merchant_deduction=row["merchant_deduction"],
            platform_deduction=row["deduction"] - row["merchant_deduction"],
            pay_price=row["pay_price"],
            locked_at=row["locked_at"],
            lock_expires_at=row["lock_expires_at"],
            paid_at=row["paid_at"],
            cancel_reason=row["cancel_reason"],
            workflow=WorkflowLink(id=team_workflow_id(row["team_id"])),
        ),
        opened_team=row["opened_team"],
        paid_amount=row["paid_amount"],
        payment_outcome=row["payment_outcome"] and PaymentOutcome(row["payment_outcome"]),
        payment_reason=row["payment_reason"] and PaymentReason(row["payment_reason"]),
    )
