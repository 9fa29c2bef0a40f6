"""Booking a payment."""

from datetime import datetime

from db.connection import Connection, Database, Row, transaction
from db.events import TEAM_COMPLETED, record_team_event
from db.offers import STOCK_GATE
from domain.errors import ErrorCode, Refusal
from domain.ids import event_id
from domain.messages import SettledPayment, SettlePayment
from domain.states import Completion, OrderStatus, PaymentOutcome, PaymentReason, TeamStatus, decide_payment
from domain.trade import Payment

# The team's row is locked before the order's, as everywhere. `now` is not asked: a locked order's seat is still held.
LOCK_ORDER = f"""
WITH gate AS MATERIALIZED (
  SELECT pg_advisory_xact_lock_shared({STOCK_GATE}, campaign_id) FROM teams WHERE team_id = $1
), team AS MATERIALIZED (
  SELECT t.* FROM gate, teams t WHERE t.team_id = $1 FOR UPDATE OF t
)
SELECT o.order_id, o.team_id, o.campaign_id, o.source, o.user_id, o.status, o.pay_price, o.paid_amount, o.payment_outcome,
       o.payment_reason, team.status AS team_status, team.target_count, team.complete_count, team.completed_at
  FROM team JOIN orders o USING (team_id) WHERE o.order_id = $2 FOR UPDATE OF o
"""

SETTLE = """
WITH paid AS (
  UPDATE orders SET status = 'paid', paid_amount = $3, paid_at = $4, payment_reported_at = $5, payment_outcome = 'settled'
   WHERE order_id = $2
)
UPDATE teams
   SET complete_count = complete_count + 1,
       status = CASE WHEN complete_count + 1 = target_count THEN 'completed' ELSE status END,
       completed_at = CASE WHEN complete_count + 1 = target_count THEN $5 END,
       completion = CASE WHEN complete_count + 1 = target_count THEN 'target' END
 WHERE team_id = $1
"""

# A payment that cannot be settled: what was paid is owed back, and a seat that is still held goes free with it.
OWE = """
WITH owed AS (
  UPDATE orders SET status = 'refunding', live = false, paid_amount = $3, paid_at = $4, payment_reported_at = $5,
                    payment_outcome = 'refunding', payment_reason = $6
   WHERE order_id = $2
), seat AS (
  UPDATE teams SET lock_count = lock_count - 1,
                   status = CASE WHEN status = 'forming' AND lock_count = 1 THEN 'failed' ELSE status END,
                   fail_reason = CASE WHEN status = 'forming' AND lock_count = 1 THEN 'abandoned' ELSE fail_reason END,
                   failed_at = CASE WHEN status = 'forming' AND lock_count = 1 THEN $5 ELSE failed_at END
   WHERE team_id = $1 AND $7::boolean RETURNING status, campaign_id
), quota AS (
  UPDATE user_quotas q SET live = q.live - 1 FROM seat
   WHERE q.campaign_id = seat.campaign_id AND q.source = $8 AND q.user_id = $9
  RETURNING q.campaign_id
), stock AS (
  UPDATE campaign_stock s SET live = s.live - 1 FROM quota WHERE s.campaign_id = quota.campaign_id
)
SELECT status FROM seat
"""

MEMBERS = "SELECT out_trade_no FROM orders WHERE team_id = $1 AND status = 'paid' ORDER BY paid_at, out_trade_no"

OTHER_AMOUNT = """
INSERT INTO payment_conflicts (order_id, amount, paid_at, reported_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (order_id, amount) DO NOTHING
"""


async def settle_payment(database: Database, payment: SettlePayment) -> SettledPayment:
    """Books the payment of an order, and with the last one completes the team; a repeat gets the first outcome again.

    Raises:
        Refusal: order_not_found; out_trade_no_reused for another amount than was reported first, which is recorded.
    """
    report, now = payment.report, payment.now
    async with transaction(database) as connection:
        order = await connection.fetchrow(LOCK_ORDER, report.team_id, report.order_id)
        if order is None:
            raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {report.out_trade_no}.")
        if order["paid_amount"] is not None:
            if order["paid_amount"] == report.amount:
                return _first_outcome(order)
            await connection.execute(OTHER_AMOUNT, report.order_id, report.amount, report.paid_at, now)
        else:
            return await _book(connection, order, payment)
    raise Refusal(
        ErrorCode.OUT_TRADE_NO_REUSED,
        f"{order['paid_amount']} was reported for {report.out_trade_no} before, not {report.amount}; a person will look at it.",
    )


def _first_outcome(order: Row) -> SettledPayment:
    completed = order["completed_at"] is not None
    return SettledPayment(
        outcome=PaymentOutcome(order["payment_outcome"]),
        reason=order["payment_reason"] and PaymentReason(order["payment_reason"]),
        order_status=OrderStatus(order["status"]),
        team_status=TeamStatus(order["team_status"]),
        completed_at=order["completed_at"],
        event_ids=[event_id(TEAM_COMPLETED, order["team_id"])] if completed else [],
    )


async def _book(connection: Connection, order: Row, payment: SettlePayment) -> SettledPayment:
    report, now = payment.report, payment.now
    status = OrderStatus(order["status"])
    decision = decide_payment(status, amount_is_right=report.amount == order["pay_price"])
    values = (order["team_id"], report.order_id, report.amount, report.paid_at, now)
    if decision.outcome is not PaymentOutcome.SETTLED:
        seat_held = status is OrderStatus.LOCKED
        freed = await connection.fetchval(OWE, *values, decision.reason, seat_held, order["source"], order["user_id"])
        return SettledPayment(
            outcome=decision.outcome,
            reason=decision.reason,
            order_status=OrderStatus.REFUNDING,
            team_status=TeamStatus(freed or order["team_status"]),
            completed_at=order["completed_at"],
        )
    await connection.execute(SETTLE, *values)
    if order["complete_count"] + 1 < order["target_count"]:
        return SettledPayment(
            outcome=decision.outcome, order_status=OrderStatus.PAID, team_status=TeamStatus(order["team_status"])
        )
    members = [row["out_trade_no"] for row in await connection.fetch(MEMBERS, order["team_id"])]
    event = await record_team_event(
        connection,
        TEAM_COMPLETED,
        order["team_id"],
        members,
        now,
        campaign_id=order["campaign_id"],
        completion=Completion.TARGET,
    )
    return SettledPayment(
        outcome=decision.outcome,
        order_status=OrderStatus.PAID,
        team_status=TeamStatus.COMPLETED,
        completed_at=now,
        event_ids=[event],
    )


async def record_other_amount(database: Database, order_id: str, payment: Payment, now: datetime) -> None:
    """Keeps a report of another amount for an order that has a payment: a person will look at it."""
    async with transaction(database) as connection:
        await connection.execute(OTHER_AMOUNT, order_id, payment.amount, payment.paid_at, now)
