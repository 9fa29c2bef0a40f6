"""The first transaction of a refund: decides its kind, and releases the seat where nobody has to agree."""

from datetime import datetime
from decimal import Decimal

from db.callbacks.outbox import record_order_events
from db.core.connection import Connection, Database, Row, fetch_one, transaction
from db.orders.release import CANCELLED, LOCK_ORDER, RETURNED, release_seat
from domain.errors import ErrorCode, Refusal
from domain.ids import event_id
from domain.lifecycle import (
    CancelReason,
    OrderStatus,
    RefundKind,
    RefundStatus,
    RefundStep,
    RefundWindow,
    TeamStatus,
    decide_refund,
)
from domain.messages.refunds import OpenRefund, RefundState
from domain.schemas.events import EventType

LATEST = "SELECT * FROM refunds WHERE order_id = $1 ORDER BY attempt DESC LIMIT 1"
ATTEMPT = "SELECT * FROM refunds WHERE order_id = $1 AND attempt = $2 FOR UPDATE"
BEGIN = "UPDATE refunds SET status = 'awaiting_mall', checked_at = $3 WHERE order_id = $1 AND attempt = $2 RETURNING *"


async def open_refund(database: Database, asked: OpenRefund) -> RefundState:
    """Decides by the rows what is to be undone, and undoes what needs nobody's consent; a repeat finds the refund there is.

    Asked for an attempt that is there already, also a rejected one, it opens no other: whoever asks has not seen its end yet.

    Raises:
        Refusal: order_not_found; refund_window_closed; refund_not_found for an order that was cancelled without a refund.
    """
    async with transaction(database) as conn:
        order = await conn.fetchrow(LOCK_ORDER, asked.order_id)
        if order is None:
            raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {asked.out_trade_no or asked.order_id}.")
        latest = await conn.fetchrow(LATEST, asked.order_id)
        window = RefundWindow(order["completed_at"], order["refund_window"])
        team_status, in_window = TeamStatus(order["team_status"]), window.is_open(asked.now)
        if latest is not None and asked.attempt is not None and asked.attempt <= latest["attempt"]:
            named = await fetch_one(conn, ATTEMPT, asked.order_id, asked.attempt)
            return await _as_it_is(conn, order, named, asked.now)
        match decide_refund(OrderStatus(order["status"]), team_status, in_window=in_window, force=asked.force):
            case RefundStep.NO_CHANGE:
                return await _as_it_is(conn, order, latest, asked.now)
            case RefundStep.REFUSE:
                raise window.refusal()
            case RefundStep.CANCEL:
                return await _cancel(conn, order, asked)
            case RefundStep.RETURN:
                return await _return(conn, order, asked, RefundKind.PAID_UNFORMED)
            case RefundStep.ASK:
                if order["callback_kind"] == "http" and order["callback_format"] == "standard":
                    return await _ask(conn, order, asked)
                # A queue cannot answer, so nobody is asked there.
                return await _return(conn, order, asked, RefundKind.PAID_FORMED)


async def _as_it_is(conn: Connection, order: Row, refund: Row | None, now: datetime) -> RefundState:
    if refund is None:
        raise Refusal(ErrorCode.REFUND_NOT_FOUND, f"Order {order['out_trade_no']} was cancelled: {order['cancel_reason']}.")
    if refund["status"] == RefundStatus.REQUESTED:
        refund = await fetch_one(conn, BEGIN, refund["order_id"], refund["attempt"], now)
    return _state(order, refund, TeamStatus(order["team_status"]))


async def _cancel(conn: Connection, order: Row, asked: OpenRefund) -> RefundState:
    reason = CancelReason.OPERATOR if asked.operator else CancelReason.BUYER
    status = await release_seat(conn, order, CANCELLED, asked.now, reason, has_paid=False)
    await record_order_events(conn, EventType.ORDER_CANCELLED, [asked.order_id], asked.now, reason=reason)
    refund = await _insert(conn, asked, RefundKind.UNPAID, RefundStatus.DONE, Decimal(), reason)
    return _state(order, refund, status, team_changed=True)


async def _return(conn: Connection, order: Row, asked: OpenRefund, kind: RefundKind) -> RefundState:
    has_failed = order["team_status"] == TeamStatus.FAILED
    status = await release_seat(conn, order, RETURNED, asked.now, has_paid=True)
    reason = "team_failed" if has_failed else _who(asked)
    refund = await _insert(conn, asked, kind, RefundStatus.AWAITING_MALL, order["paid_amount"], reason)
    await _tell_refunded(conn, order, refund, asked.now)
    return _state(order, refund, status, team_changed=not has_failed)


START_ASKING = "UPDATE orders SET status = 'refunding' WHERE order_id = $1"


async def _ask(conn: Connection, order: Row, asked: OpenRefund) -> RefundState:
    """Nothing is released: the order keeps its seat, and counts, until the mall agrees."""
    await conn.execute(START_ASKING, asked.order_id)
    amount, kind = order["paid_amount"], EventType.ORDER_REFUND_REQUESTED
    refund = await _insert(conn, asked, RefundKind.PAID_FORMED, RefundStatus.AWAITING_MALL, amount, _who(asked), question=kind)
    data = {"amount": f"{amount:.2f}", "reason": refund["reason"]}
    await record_order_events(conn, kind, [asked.order_id], asked.now, attempt=refund["attempt"], **data)
    return _state(order, refund, TeamStatus(order["team_status"]))


def _who(asked: OpenRefund) -> str:
    return "operator" if asked.operator else "buyer"


NEXT_ATTEMPT = "SELECT 1 + count(*) FROM refunds WHERE order_id = $1"
INSERT = """
INSERT INTO refunds (order_id, attempt, kind, status, reason, operator, amount, question, requested_at, released_at,
                     finished_at, checked_at)
VALUES ($1, $2, $3, $4, $5, nullif($6, ''), $7, $8, $9::timestamptz, CASE WHEN $8::text IS NULL THEN $9::timestamptz END,
        CASE WHEN $4::text = 'done' THEN $9::timestamptz END, $9)
RETURNING *
"""


async def _insert(
    conn: Connection,
    asked: OpenRefund,
    kind: RefundKind,
    status: RefundStatus,
    amount: Decimal,
    reason: str,
    *,
    question: EventType | None = None,
) -> Row:
    """`reason` stands where none was given; `question` is what the mall is asked before the seat is released."""
    attempt: int = await conn.fetchval(NEXT_ATTEMPT, asked.order_id)
    question_id = event_id(question, asked.order_id, attempt) if question else None
    values = (kind, status, asked.reason or reason, asked.operator, amount, question_id, asked.now)
    return await fetch_one(conn, INSERT, asked.order_id, attempt, *values)


async def open_unsettled(conn: Connection, order: Row, amount: Decimal, reason: str, now: datetime) -> int:
    """Within the transaction that could not settle a payment: the refund that returns it, whose workflow follows."""
    asked = OpenRefund(order_id=order["order_id"], now=now)
    refund = await _insert(conn, asked, RefundKind.UNSETTLED, RefundStatus.REQUESTED, amount, reason)
    await _tell_refunded(conn, order, refund, now)
    attempt: int = refund["attempt"]
    return attempt


UNSETTLED = "SELECT attempt FROM refunds WHERE order_id = $1 AND kind = 'unsettled' AND finished_at IS NULL"


async def unsettled_attempt(conn: Connection, order_id: str) -> int | None:
    """The refund that still has to return a payment."""
    attempt: int | None = await conn.fetchval(UNSETTLED, order_id)
    return attempt


async def _tell_refunded(conn: Connection, order: Row, refund: Row, now: datetime) -> None:
    data = {"kind": refund["kind"], "amount": f"{refund['amount']:.2f}", "reason": refund["reason"]}
    attempt = refund["attempt"]
    await record_order_events(conn, EventType.ORDER_REFUNDED, [order["order_id"]], now, attempt=attempt, **data)


def _state(order: Row, refund: Row, team_status: TeamStatus, *, team_changed: bool = False) -> RefundState:
    return RefundState(
        order_id=order["order_id"],
        team_id=order["team_id"],
        attempt=refund["attempt"],
        kind=refund["kind"],
        status=refund["status"],
        asks=refund["question"] is not None,
        answer=refund["answer"],
        note=refund["note"] or "",
        released=refund["released_at"] is not None,
        team_status=team_status,
        team_changed=team_changed,
    )
