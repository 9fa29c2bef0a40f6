"""Settling a payment: by the team's workflow, by a payment's own workflow, or directly."""

from datetime import datetime, timedelta

from db.callbacks.outbox import record_order_events, record_team_completed
from db.core.connection import Connection, Database, Row, connection, fetch_one, transaction
from db.orders.release import IS_BLOCKED, LOCK_ORDER, NOT_SETTLED, release_seat
from db.refunds.open import open_unsettled, unsettled_attempt
from db.teams.rows import read_seats, read_team_row, team_row
from db.teams.wakeups import ADMITTED_DIRECTLY, leave_wakeup, wakeup_step
from domain.errors import ErrorCode, NotDirectError, Refusal
from domain.lifecycle import (
    CancelReason,
    Completion,
    OrderStatus,
    PaymentDecision,
    PaymentFacts,
    PaymentOutcome,
    PaymentReason,
    TeamStatus,
    decide_payment,
    may_be_reseated,
    other_amount_refusal,
)
from domain.messages.orders import PaymentReport, SettledPayment, SettlePayment
from domain.messages.teams import SeatRow, TeamRow
from domain.schemas.events import EventType
from domain.schemas.orders import Payment
from domain.wakeups import Urgency

# Counts a payment, and completes the team with the last one; $2 is `now`. Twin of domain.lifecycle.completes_team.
COUNT_PAID = """
complete_count = t.complete_count + 1, version = t.version + 1,
status = CASE WHEN t.complete_count + 1 = t.target_count THEN 'completed' ELSE t.status END,
completed_at = CASE WHEN t.complete_count + 1 = t.target_count THEN $2::timestamptz END,
completion = CASE WHEN t.complete_count + 1 = t.target_count THEN 'target' END
"""

# The usual payment: the right amount for a locked order, in a channel that is not blocked, and not the team's last one. One
# statement, which changes nothing in any other case; locks the team's row first, as everywhere. Twin of
# domain.lifecycle.decide_payment, which decides all other payments. `now` is no input: a locked order's seat is still held.
AT_ONCE = """
WITH team AS MATERIALIZED (
  SELECT team_id FROM teams WHERE team_id = $5 AND complete_count + 1 < target_count FOR UPDATE
), paid AS (
  UPDATE orders o
     SET status = 'paid', payment_reported_at = $2, payment_outcome = 'settled', paid_amount = $3, paid_at = $4,
         payment_admitted_by = $6
    FROM team
   WHERE o.order_id = $1 AND o.team_id = team.team_id AND o.status = 'locked' AND o.pay_price = $3 AND NOT {is_blocked}
  RETURNING o.team_id, o.user_id
), changed AS (
  UPDATE teams t SET complete_count = t.complete_count + 1, version = t.version + 1{admission}
    FROM paid WHERE t.team_id = paid.team_id
  RETURNING t.team_id, t.status, t.version, t.deadline, t.completed_at, t.refund_window, paid.user_id
){wakeup}
SELECT * FROM changed
"""
SETTLE_DIRECTLY_AT_ONCE = AT_ONCE.format(
    is_blocked=IS_BLOCKED,
    admission=ADMITTED_DIRECTLY,
    wakeup=f", wakeup AS ({wakeup_step('changed', now='$2::timestamptz', due_at='team.deadline', payments=1)})",
)
SETTLE_AT_ONCE = AT_ONCE.format(is_blocked=IS_BLOCKED, admission="", wakeup="")

AFTER_DECISION = f"""
WITH paid AS (
  UPDATE orders SET status = 'paid', payment_reported_at = $2, payment_outcome = 'settled', paid_amount = $3, paid_at = $4,
                    payment_admitted_by = $5
   WHERE order_id = $1 RETURNING team_id
)
UPDATE teams t SET {COUNT_PAID}{{admission}} FROM paid WHERE t.team_id = paid.team_id
RETURNING t.status, t.version, t.deadline, t.completed_at, t.refund_window
"""
SETTLE_DIRECTLY = AFTER_DECISION.format(admission=ADMITTED_DIRECTLY)
SETTLE = AFTER_DECISION.format(admission="")

# Takes a seat again that has timed out, by the rules of every seat; each step uses the row of the step before. Twin of
# domain.seats.can_take_seat and domain.lifecycle.completes_team.
RESEAT = f"""
WITH team AS (
  UPDATE teams t SET lock_count = t.lock_count + 1, {COUNT_PAID}
    FROM orders late
   WHERE late.order_id = $1 AND t.team_id = late.team_id
     AND t.status = 'forming' AND t.deadline > $2 AND t.lock_count < t.target_count
     AND NOT EXISTS (SELECT FROM orders o WHERE o.team_id = late.team_id AND o.user_id = late.user_id AND o.live)
  RETURNING t.team_id, t.campaign_id, t.status, t.version, t.deadline, t.completed_at, t.refund_window
), "order" AS (
  UPDATE orders o
     SET status = 'paid', live = true, cancel_reason = NULL, cancelled_at = NULL, take_limit = c.take_limit,
         payment_reported_at = $2, payment_outcome = 'reseated', paid_amount = $3, paid_at = $4, payment_admitted_by = $5
    FROM team JOIN campaigns c USING (campaign_id)
   WHERE o.order_id = $1
  RETURNING o.campaign_id, o.source, o.user_id, o.take_limit
), quota AS (
  INSERT INTO user_quotas AS q (campaign_id, source, user_id, live)
  SELECT campaign_id, source, user_id, 1 FROM "order"
  ON CONFLICT (campaign_id, source, user_id) DO UPDATE SET live = q.live + 1 WHERE q.live < (SELECT take_limit FROM "order")
  RETURNING campaign_id
), stock AS (
  UPDATE campaign_stock s SET live = s.live + 1 FROM quota WHERE s.campaign_id = quota.campaign_id AND s.live < s.stock
  RETURNING s.campaign_id
)
SELECT team.status, team.version, team.deadline, team.completed_at, team.refund_window FROM team, quota
 WHERE EXISTS (SELECT FROM stock) OR NOT EXISTS (SELECT FROM campaign_stock s WHERE s.campaign_id = team.campaign_id)
"""

# For an order without a seat. A seat that is still held is released by RELEASE_SEAT with NOT_SETTLED (db/orders/release.py).
OWE = """
UPDATE orders SET status = 'refunding', payment_reported_at = $2, payment_outcome = 'refunding', paid_amount = $3, paid_at = $4,
                  payment_admitted_by = $5, payment_reason = $6
 WHERE order_id = $1
"""

OTHER_AMOUNT = """
INSERT INTO payment_conflicts (order_id, amount, paid_at, reported_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (order_id, amount) DO NOTHING
"""


async def settle_payment(database: Database, payment: SettlePayment) -> SettledPayment:
    """Settles the payment of an order, and with the last one completes the team; a repeat returns the first outcome.

    Raises:
        Refusal: order_not_found; out_trade_no_reused for another amount than was reported first, which is recorded.
    """
    return await _settle_payment(database, payment, SETTLE_AT_ONCE if not payment.wakes_team else None, is_direct=False)


async def settle_payment_directly(database: Database, payment: SettlePayment) -> SettledPayment:
    """Settles a payment beside the team's workflow, and leaves a wake-up for it in the same commit.

    Raises:
        NotDirectError: it is neither a payment in full for a seat that is held, nor a repeat; nothing was changed.
        Refusal: as `settle_payment`.
    """
    return await _settle_payment(database, payment, SETTLE_DIRECTLY_AT_ONCE, is_direct=True)


async def _settle_payment(
    database: Database, payment: SettlePayment, at_once: str | None, *, is_direct: bool
) -> SettledPayment:
    """`at_once` is the statement that is tried first."""
    if at_once is not None:
        async with connection(database) as conn:
            if settled := await _settle_at_once(conn, at_once, payment):
                return settled
    report = payment.report
    async with transaction(database) as conn:
        order = await conn.fetchrow(LOCK_ORDER, report.order_id)
        if order is None:
            raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {report.out_trade_no}.")
        if order["paid_amount"] is None:
            return await _book(conn, order, payment, is_direct=is_direct)
        if order["paid_amount"] == report.amount:
            return await _first_outcome(conn, order)
        await conn.execute(OTHER_AMOUNT, report.order_id, report.amount, report.paid_at, payment.now)
    raise other_amount_refusal(report.out_trade_no, order["paid_amount"], report.amount)


async def _settle_at_once(conn: Connection, sql: str, payment: SettlePayment) -> SettledPayment | None:
    """None: the payment is not one of those that need no decision, and nothing has changed."""
    report = payment.report
    values = (report.order_id, payment.now, report.amount, report.paid_at, report.team_id, report.request_id)
    paid = await conn.fetchrow(sql, *values)
    if paid is None:
        return None
    return SettledPayment(
        team=team_row(paid),
        seats=[_paid_seat(report, paid["user_id"])],
        outcome=PaymentOutcome.SETTLED,
        admitted_by=report.request_id,
    )


async def _first_outcome(conn: Connection, order: Row) -> SettledPayment:
    """The outcome of a payment that was booked before, and what the rows say now."""
    outcome = PaymentOutcome(order["payment_outcome"])
    is_refunding = outcome is PaymentOutcome.REFUNDING
    return SettledPayment(
        team=await read_team_row(conn, order["team_id"]),
        seats=await read_seats(conn, order["team_id"], [order["out_trade_no"]]),
        outcome=outcome,
        reason=order["payment_reason"] and PaymentReason(order["payment_reason"]),
        refund_attempt=await unsettled_attempt(conn, order["order_id"]) if is_refunding else None,
        repeated=True,
        admitted_by=order["payment_admitted_by"] or "",
    )


async def _book(conn: Connection, order: Row, payment: SettlePayment, *, is_direct: bool) -> SettledPayment:
    report, now = payment.report, payment.now
    status, reason = OrderStatus(order["status"]), order["cancel_reason"] and CancelReason(order["cancel_reason"])
    facts = PaymentFacts(status, reason, paid=report.amount, pay_price=order["pay_price"], is_blocked=order["is_blocked"])
    values = (report.order_id, now, report.amount, report.paid_at, report.request_id)

    reseated: Row | None = None
    if may_be_reseated(facts) and not is_direct:
        reseated = await _reseat(conn, values)
    decision = decide_payment(facts, is_reseated=reseated is not None)
    if is_direct and decision.outcome is not PaymentOutcome.SETTLED:
        raise NotDirectError(report.out_trade_no)
    if decision.outcome is PaymentOutcome.REFUNDING:
        settled = await _owe(conn, order, payment, decision)
    else:
        settle = SETTLE_DIRECTLY if is_direct else SETTLE
        team = team_row(reseated or await fetch_one(conn, settle, *values))
        settled = await _seated(conn, order, payment, decision.outcome, team)
    changes_team = order["live"] or decision.outcome is not PaymentOutcome.REFUNDING
    if is_direct or (payment.wakes_team and changes_team):
        urgency = Urgency.DECIDED if settled.decides_team else Urgency.SEATS
        await leave_wakeup(conn, order["team_id"], now, urgency=urgency, payments=int(is_direct), after=timedelta())
    return settled


async def _seated(
    conn: Connection, order: Row, payment: SettlePayment, outcome: PaymentOutcome, team: TeamRow
) -> SettledPayment:
    """Records what follows from a payment that has a seat."""
    report, now = payment.report, payment.now
    event_ids: list[str] = []
    if outcome is PaymentOutcome.RESEATED:
        event_ids += await record_order_events(conn, EventType.ORDER_RESEATED, [report.order_id], now)
    completes = team.status is TeamStatus.COMPLETED
    if completes:
        event_ids += await record_team_completed(conn, order["team_id"], order["campaign_id"], Completion.TARGET, now)
    return SettledPayment(
        team=team,
        seats=[_paid_seat(report, order["user_id"])],
        outcome=outcome,
        decides_team=completes,
        event_ids=event_ids,
        admitted_by=report.request_id,
    )


def _paid_seat(report: PaymentReport, user_id: str) -> SeatRow:
    return SeatRow(out_trade_no=report.out_trade_no, user_id=user_id, status=OrderStatus.PAID, live=True)


async def _reseat(conn: Connection, values: tuple[object, ...]) -> Row | None:
    """Takes a seat again, or changes nothing; returns the team, or None if a rule refuses the seat."""
    try:
        async with conn.transaction():
            return await fetch_one(conn, RESEAT, *values)
    except LookupError:
        return None  # the savepoint is rolled back: a step may have changed its row before a later one found nothing


async def _owe(conn: Connection, order: Row, payment: SettlePayment, decision: PaymentDecision) -> SettledPayment:
    """Begins the refund of the payment, and releases the seat if it is still held."""
    report, now, reason = payment.report, payment.now, decision.reason
    if order["live"]:
        money = (report.amount, report.paid_at, report.request_id, reason)
        team = await release_seat(conn, order, NOT_SETTLED, now, *money, has_paid=False)
    else:
        await conn.execute(OWE, report.order_id, now, report.amount, report.paid_at, report.request_id, reason)
        team = await read_team_row(conn, order["team_id"])
    return SettledPayment(
        team=team,
        seats=[SeatRow(out_trade_no=report.out_trade_no, user_id=order["user_id"], status=OrderStatus.REFUNDING)],
        outcome=decision.outcome,
        reason=reason,
        decides_team=order["live"] and team.status is TeamStatus.FAILED,
        refund_attempt=await open_unsettled(conn, order, report.amount, str(reason), now),
        admitted_by=report.request_id,
    )


async def record_other_amount(database: Database, order_id: str, payment: Payment, now: datetime) -> None:
    """Records another amount, reported for an order that has a payment; it needs an operator."""
    async with transaction(database) as conn:
        await conn.execute(OTHER_AMOUNT, order_id, payment.amount, payment.paid_at, now)
