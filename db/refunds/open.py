"""The first transaction of a refund: decides its kind, and releases the seat unless the mall has to agree."""

from datetime import datetime
from decimal import Decimal

from db.callbacks.outbox import record_order_events
from db.core.connection import Connection, Database, Row, fetch_one, transaction
from db.orders.release import CANCELLED, LOCK_ORDER, RETURNED, release_seat
from db.settings.audit import find_outcome, record_act
from db.teams.wakeups import leave_wakeup
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
from domain.messages.acts import Outcome
from domain.messages.refunds import OpenRefund, RefundState
from domain.schemas.events import EventType
from domain.wakeups import Urgency

LATEST = "SELECT * FROM refunds WHERE order_id = $1 ORDER BY attempt DESC LIMIT 1"
ATTEMPT = "SELECT * FROM refunds WHERE order_id = $1 AND attempt = $2 FOR UPDATE"
BEGIN = "UPDATE refunds SET status = 'awaiting_mall', checked_at = $3 WHERE order_id = $1 AND attempt = $2 RETURNING *"


async def open_refund(database: Database, request: OpenRefund) -> RefundState:
    """Decides from the rows how an order is refunded, and releases what needs no consent; a repeat returns the existing refund.

    A request that names an existing attempt, even a rejected one, gets that attempt: its sender has not seen the result yet.
    An operator's act is recorded with its outcome, once however often it arrives; also a refused one.

    Raises:
        Refusal: order_not_found; refund_window_closed; refund_not_found for an order that was cancelled without a refund.
    """
    refused: Refusal | None = None
    async with transaction(database) as conn:
        order = await conn.fetchrow(LOCK_ORDER, request.order_id)
        if order is None:
            raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {request.out_trade_no or request.order_id}.")
        latest = await conn.fetchrow(LATEST, request.order_id)
        earlier = await find_outcome(conn, f"refund/{request.order_id}", request.act) if request.act else None
        try:
            state = await _decide(conn, order, latest, request)
            outcome = earlier or _outcome(state, is_new=state.attempt > (latest["attempt"] if latest else 0))
        except Refusal as exc:  # before anything was changed
            refused, outcome = exc, Outcome(changed=False, detail=exc.detail)
        if request.act is not None and earlier is None:
            await record_act(conn, f"refund/{request.order_id}", "refund", request.act, outcome, request.now)
    if refused is not None:
        raise refused
    return state if request.act is None else state.model_copy(update={"outcome": outcome})


async def _decide(conn: Connection, order: Row, latest: Row | None, request: OpenRefund) -> RefundState:
    window = RefundWindow(order["completed_at"], order["refund_window"])
    team_status, in_window = TeamStatus(order["team_status"]), window.is_open(request.requested_at or request.now)
    if latest is not None and request.attempt is not None and request.attempt <= latest["attempt"]:
        named = await fetch_one(conn, ATTEMPT, request.order_id, request.attempt)
        return await _existing(conn, order, named, request.now)
    match decide_refund(OrderStatus(order["status"]), team_status, in_window=in_window, force=request.force):
        case RefundStep.NO_CHANGE:
            return await _existing(conn, order, latest, request.now)
        case RefundStep.REFUSE:
            raise window.refusal()
        case RefundStep.CANCEL:
            return await _cancel(conn, order, request)
        case RefundStep.RETURN:
            return await _return(conn, order, request, RefundKind.PAID_UNFORMED)
        case RefundStep.ASK:
            if order["callback_kind"] == "http" and order["callback_format"] == "standard":
                return await _ask(conn, order, request)
            # A queue cannot answer, so the refund proceeds without consent.
            return await _return(conn, order, request, RefundKind.PAID_FORMED)


def _outcome(state: RefundState, *, is_new: bool) -> Outcome:
    """What came of an operator's request."""
    if not is_new:
        return Outcome(changed=False, detail=f"Refund {state.attempt} of this order is {state.status} already.")
    if state.kind is RefundKind.UNPAID:
        return Outcome(changed=True, detail="The order is cancelled.")
    if state.needs_consent:
        return Outcome(changed=True, detail="The mall is asked for its consent.")
    return Outcome(changed=True, detail="The seat is released, and the mall is told to return the money.")


async def _existing(conn: Connection, order: Row, refund: Row | None, now: datetime) -> RefundState:
    if refund is None:
        raise Refusal(ErrorCode.REFUND_NOT_FOUND, f"Order {order['out_trade_no']} was cancelled: {order['cancel_reason']}.")
    if refund["status"] == RefundStatus.REQUESTED:
        refund = await fetch_one(conn, BEGIN, refund["order_id"], refund["attempt"], now)
    return refund_state(order, refund, TeamStatus(order["team_status"]))


async def _cancel(conn: Connection, order: Row, request: OpenRefund) -> RefundState:
    reason = CancelReason.OPERATOR if request.operator else CancelReason.BUYER
    team = await release_seat(conn, order, CANCELLED, request.now, reason, has_paid=False)
    await record_order_events(conn, EventType.ORDER_CANCELLED, [request.order_id], request.now, reason=reason)
    refund = await _insert(conn, request, RefundKind.UNPAID, RefundStatus.DONE, Decimal(), reason)
    await wake_team(conn, order, team.status, request.now)
    return refund_state(order, refund, team.status)


async def _return(conn: Connection, order: Row, request: OpenRefund, kind: RefundKind) -> RefundState:
    has_failed = order["team_status"] == TeamStatus.FAILED
    team = await release_seat(conn, order, RETURNED, request.now, has_paid=True)
    reason = "team_failed" if has_failed else _who(request)
    refund = await _insert(conn, request, kind, RefundStatus.AWAITING_MALL, order["paid_amount"], reason)
    await record_refunded(conn, order, refund, request.now)
    await wake_team(conn, order, team.status, request.now)
    return refund_state(order, refund, team.status)


async def wake_team(conn: Connection, order: Row, team_status: TeamStatus, now: datetime) -> None:
    """Leaves a wake-up for a team that a refund has changed; one that had failed before has nothing to do about it.

    Args:
        conn: in a transaction that holds the row locks of LOCK_ORDER.
        order: the row of LOCK_ORDER.
        team_status: the team's after the change.
        now: when.
    """
    before = TeamStatus(order["team_status"])
    if before is not TeamStatus.FAILED:
        urgency = Urgency.SEATS if team_status is before else Urgency.DECIDED
        await leave_wakeup(conn, order["team_id"], now, urgency=urgency)


# The seat still counts; the version grows because the status of one of the team's orders changes.
SET_STATUS = """
WITH changed AS (UPDATE orders SET status = $2 WHERE order_id = $1 RETURNING team_id)
UPDATE teams t SET version = t.version + 1 FROM changed WHERE t.team_id = changed.team_id
"""


async def _ask(conn: Connection, order: Row, request: OpenRefund) -> RefundState:
    """Asks the mall; the order keeps its seat and counts until the mall agrees."""
    await conn.execute(SET_STATUS, request.order_id, OrderStatus.REFUNDING)
    amount, kind = order["paid_amount"], EventType.ORDER_REFUND_REQUESTED
    refund = await _insert(
        conn, request, RefundKind.PAID_FORMED, RefundStatus.AWAITING_MALL, amount, _who(request), question=kind
    )
    data = {"amount": f"{amount:.2f}", "reason": refund["reason"]}
    await record_order_events(conn, kind, [request.order_id], request.now, attempt=refund["attempt"], **data)
    team_status = TeamStatus(order["team_status"])
    await wake_team(conn, order, team_status, request.now)
    return refund_state(order, refund, team_status)


def _who(request: OpenRefund) -> str:
    return "operator" if request.operator else "buyer"


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
    request: OpenRefund,
    kind: RefundKind,
    status: RefundStatus,
    amount: Decimal,
    reason: str,
    *,
    question: EventType | None = None,
) -> Row:
    """`reason` stands where none was given; `question` is the event that asks the mall before the seat is released."""
    attempt: int = await conn.fetchval(NEXT_ATTEMPT, request.order_id)
    question_id = event_id(question, request.order_id, attempt) if question else None
    values = (kind, status, request.reason or reason, request.operator, amount, question_id, request.now)
    return await fetch_one(conn, INSERT, request.order_id, attempt, *values)


async def open_unsettled(conn: Connection, order: Row, amount: Decimal, reason: str, now: datetime) -> int:
    """Opens the refund of a payment that cannot be settled, in the same transaction; its workflow is started afterwards."""
    request = OpenRefund(order_id=order["order_id"], now=now)
    refund = await _insert(conn, request, RefundKind.UNSETTLED, RefundStatus.REQUESTED, amount, reason)
    await record_refunded(conn, order, refund, now)
    attempt: int = refund["attempt"]
    return attempt


UNSETTLED = "SELECT attempt FROM refunds WHERE order_id = $1 AND kind = 'unsettled' AND finished_at IS NULL"


async def unsettled_attempt(conn: Connection, order_id: str) -> int | None:
    """Returns the attempt of the unfinished refund of a payment that could not be settled."""
    attempt: int | None = await conn.fetchval(UNSETTLED, order_id)
    return attempt


async def record_refunded(conn: Connection, order: Row, refund: Row, now: datetime) -> None:
    """Writes the event `order.refunded`: the fact on which a mall returns the money."""
    data = {"kind": refund["kind"], "amount": f"{refund['amount']:.2f}", "reason": refund["reason"]}
    attempt = refund["attempt"]
    await record_order_events(conn, EventType.ORDER_REFUNDED, [order["order_id"]], now, attempt=attempt, **data)


def refund_state(order: Row, refund: Row, team_status: TeamStatus) -> RefundState:
    """The message of a refund's row.

    Args:
        order: the row of LOCK_ORDER.
        refund: the refund's row.
        team_status: the team's after this transaction.
    """
    released_at, failed_at = refund["released_at"], order["failed_at"]
    # A member of a failed team leaves with the team's own conclusion; an unsettled payment was booked by the team's workflow.
    left_live_team = released_at is not None and (failed_at is None or failed_at >= released_at)
    return RefundState(
        order_id=order["order_id"],
        team_id=order["team_id"],
        attempt=refund["attempt"],
        kind=refund["kind"],
        status=refund["status"],
        needs_consent=refund["question"] is not None,
        answer=refund["answer"],
        note=refund["note"] or "",
        released=released_at is not None,
        team_status=team_status,
        left_live_team=left_live_team and refund["kind"] != RefundKind.UNSETTLED,
    )
