"""Undoing orders: one transaction for each step of a refund. Every one may be repeated, and then finds what it did."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from db.connection import Connection, Database, Row, connection, fetch_one, transaction
from db.events import record_order_events
from db.guards import IS_PENDING
from db.leaving import CANCELLED, LOCK_ORDER, RETURNED, leave
from domain.errors import ErrorCode, Refusal
from domain.events import EventType
from domain.ids import event_id
from domain.messages import ChangeRefund, OpenRefund, RefundInput, RefundState, RefundWish
from domain.states import CancelReason, OrderStatus, RefundKind, RefundStatus, RefundStep, TeamStatus, decide_refund

LATEST = "SELECT * FROM refunds WHERE order_id = $1 ORDER BY attempt DESC LIMIT 1"
ATTEMPT = "SELECT * FROM refunds WHERE order_id = $1 AND attempt = $2 FOR UPDATE"
BEGIN = "UPDATE refunds SET status = 'awaiting_mall', looked_at = $3 WHERE order_id = $1 AND attempt = $2 RETURNING *"


async def open_refund(database: Database, asked: OpenRefund) -> RefundState:
    """Decides by the rows what is to be undone, and undoes what needs nobody's consent; a repeat finds the refund there is.

    Asked for an attempt that is there already, also a rejected one, it opens no other: whoever asks has not seen its end yet.

    Raises:
        Refusal: order_not_found; refund_window_closed; refund_not_found for an order that was cancelled without a refund.
    """
    async with transaction(database) as opened:
        order = await opened.fetchrow(LOCK_ORDER, asked.order_id)
        if order is None:
            raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {asked.out_trade_no or asked.order_id}.")
        latest = await opened.fetchrow(LATEST, asked.order_id)
        team_status, in_window = TeamStatus(order["team_status"]), asked.now < _window_end(order)
        if latest is not None and asked.attempt is not None and asked.attempt <= latest["attempt"]:
            named = await fetch_one(opened, ATTEMPT, asked.order_id, asked.attempt)
            return await _as_it_is(opened, order, named, asked.now)
        match decide_refund(OrderStatus(order["status"]), team_status, in_window=in_window, force=asked.force):
            case RefundStep.AS_IT_IS:
                return await _as_it_is(opened, order, latest, asked.now)
            case RefundStep.REFUSE:
                over = f"{_window_end(order):%Y-%m-%d %H:%M:%S} UTC"
                raise Refusal(ErrorCode.REFUND_WINDOW_CLOSED, f"The refund window was over at {over}.")
            case RefundStep.CANCEL:
                return await _cancel(opened, order, asked)
            case RefundStep.RETURN:
                return await _return(opened, order, asked, RefundKind.PAID_UNFORMED)
            case RefundStep.ASK:
                if order["callback_kind"] == "http" and order["callback_format"] == "standard":
                    return await _ask(opened, order, asked)
                # A queue cannot answer, so nobody is asked there.
                return await _return(opened, order, asked, RefundKind.PAID_FORMED)


NEVER = datetime.min.replace(tzinfo=UTC)


def _window_end(order: Row) -> datetime:
    if order["completed_at"] is None:
        return NEVER
    completed_at: datetime = order["completed_at"]
    return completed_at + timedelta(seconds=order["refund_window"])


async def _as_it_is(opened: Connection, order: Row, refund: Row | None, now: datetime) -> RefundState:
    if refund is None:
        raise Refusal(ErrorCode.REFUND_NOT_FOUND, f"Order {order['out_trade_no']} was cancelled: {order['cancel_reason']}.")
    if refund["status"] == RefundStatus.REQUESTED:
        refund = await fetch_one(opened, BEGIN, refund["order_id"], refund["attempt"], now)
    return _state(order, refund, TeamStatus(order["team_status"]))


async def _cancel(opened: Connection, order: Row, asked: OpenRefund) -> RefundState:
    reason = CancelReason.OPERATOR if asked.operator else CancelReason.BUYER
    status = await leave(opened, order, CANCELLED, asked.now, reason, has_paid=False)
    await record_order_events(opened, EventType.ORDER_CANCELLED, [asked.order_id], asked.now, reason=reason)
    refund = await _insert(opened, asked, RefundKind.UNPAID, RefundStatus.DONE, Decimal(), reason)
    return _state(order, refund, status, team_changed=True)


async def _return(opened: Connection, order: Row, asked: OpenRefund, kind: RefundKind) -> RefundState:
    has_failed = order["team_status"] == TeamStatus.FAILED
    status = await leave(opened, order, RETURNED, asked.now, has_paid=True)
    reason = "team_failed" if has_failed else _who(asked)
    refund = await _insert(opened, asked, kind, RefundStatus.AWAITING_MALL, order["paid_amount"], reason)
    await _tell_refunded(opened, order, refund, asked.now)
    return _state(order, refund, status, team_changed=not has_failed)


START_ASKING = "UPDATE orders SET status = 'refunding' WHERE order_id = $1"


async def _ask(opened: Connection, order: Row, asked: OpenRefund) -> RefundState:
    """Nothing is released: the order keeps its seat, and counts, until the mall agrees."""
    await opened.execute(START_ASKING, asked.order_id)
    amount, kind = order["paid_amount"], EventType.ORDER_REFUND_REQUESTED
    refund = await _insert(
        opened, asked, RefundKind.PAID_FORMED, RefundStatus.AWAITING_MALL, amount, _who(asked), question=kind
    )
    data = {"amount": f"{amount:.2f}", "reason": refund["reason"]}
    await record_order_events(opened, kind, [asked.order_id], asked.now, attempt=refund["attempt"], **data)
    return _state(order, refund, TeamStatus(order["team_status"]))


def _who(asked: OpenRefund) -> str:
    return "operator" if asked.operator else "buyer"


NEXT_ATTEMPT = "SELECT 1 + count(*) FROM refunds WHERE order_id = $1"
INSERT = """
INSERT INTO refunds (order_id, attempt, kind, status, reason, operator, amount, question, requested_at, released_at,
                     finished_at, looked_at)
VALUES ($1, $2, $3, $4, $5, nullif($6, ''), $7, $8, $9::timestamptz, CASE WHEN $8::text IS NULL THEN $9::timestamptz END,
        CASE WHEN $4::text = 'done' THEN $9::timestamptz END, $9)
RETURNING *
"""


async def _insert(
    opened: Connection,
    asked: OpenRefund,
    kind: RefundKind,
    status: RefundStatus,
    amount: Decimal,
    reason: str,
    *,
    question: EventType | None = None,
) -> Row:
    """`reason` stands where none was given; `question` is what the mall is asked before the seat is released."""
    attempt: int = await opened.fetchval(NEXT_ATTEMPT, asked.order_id)
    question_id = event_id(question, asked.order_id, attempt) if question else None
    values = (kind, status, asked.reason or reason, asked.operator, amount, question_id, asked.now)
    return await fetch_one(opened, INSERT, asked.order_id, attempt, *values)


async def open_unsettled(opened: Connection, order: Row, amount: Decimal, reason: str, now: datetime) -> int:
    """Within the transaction that could not settle a payment: the refund that returns it, whose workflow follows."""
    asked = OpenRefund(order_id=order["order_id"], now=now)
    refund = await _insert(opened, asked, RefundKind.UNSETTLED, RefundStatus.REQUESTED, amount, reason)
    await _tell_refunded(opened, order, refund, now)
    attempt: int = refund["attempt"]
    return attempt


UNSETTLED = "SELECT attempt FROM refunds WHERE order_id = $1 AND kind = 'unsettled' AND finished_at IS NULL"


async def unsettled_attempt(opened: Connection, order_id: str) -> int | None:
    """The refund that still has to return a payment."""
    attempt: int | None = await opened.fetchval(UNSETTLED, order_id)
    return attempt


async def _tell_refunded(opened: Connection, order: Row, refund: Row, now: datetime) -> None:
    data = {"kind": refund["kind"], "amount": f"{refund['amount']:.2f}", "reason": refund["reason"]}
    attempt = refund["attempt"]
    await record_order_events(opened, EventType.ORDER_REFUNDED, [order["order_id"]], now, attempt=attempt, **data)


# --- the mall's answer, and what follows ---

ANSWER = """
UPDATE refunds SET answer = $3, status = 'awaiting_mall', operator = coalesce(nullif($4, ''), operator),
                   note = coalesce(nullif($5, ''), note)
 WHERE order_id = $1 AND attempt = $2 AND question IS NOT NULL AND answer IS NULL
"""


async def answer_refund(database: Database, change: ChangeRefund) -> RefundState:
    """Keeps an operator's answer in the mall's place; the first answer stands."""
    async with transaction(database) as opened:
        order, _ = await _lock(opened, change)
        values = (change.answer, change.operator, change.note)
        await opened.execute(ANSWER, change.order_id, change.attempt, *values)
        return await _now(opened, order, change)


RELEASED = "UPDATE refunds SET released_at = $3, status = 'awaiting_mall' WHERE order_id = $1 AND attempt = $2"


async def release_refund(database: Database, change: ChangeRefund) -> RefundState:
    """After the mall's yes: the seat, the counts and the quotas; the team is completed with refunds, or failed."""
    async with transaction(database) as opened:
        order, refund = await _lock(opened, change)
        if refund["answer"] != "agreed" or refund["released_at"] is not None:
            return _state(order, refund, TeamStatus(order["team_status"]))
        status = await leave(opened, order, RETURNED, change.now, has_paid=True)
        await opened.execute(RELEASED, change.order_id, change.attempt, change.now)
        await _tell_refunded(opened, order, refund, change.now)
        return await _now(opened, order, change, status)


PAID_AGAIN = "UPDATE orders SET status = 'paid' WHERE order_id = $1"
REJECT = """
UPDATE refunds SET status = 'rejected', answer = 'vetoed', finished_at = $3,
                   operator = coalesce(nullif($4, ''), operator), note = coalesce(nullif($5, ''), note)
 WHERE order_id = $1 AND attempt = $2
"""


async def reject_refund(database: Database, change: ChangeRefund) -> RefundState:
    """The compensation: the order is paid again, with its seat and its counts as they were. Not after a yes."""
    async with transaction(database) as opened:
        order, refund = await _lock(opened, change)
        if refund["question"] and refund["answer"] != "agreed" and refund["finished_at"] is None:
            await opened.execute(PAID_AGAIN, change.order_id)
            await opened.execute(REJECT, change.order_id, change.attempt, change.now, change.operator, change.note)
        return await _now(opened, order, change)


REFUNDED = "UPDATE orders SET status = 'refunded' WHERE order_id = $1"
FINISH = """
UPDATE refunds SET status = 'done', finished_at = $3, operator = coalesce(nullif($4, ''), operator),
                   note = coalesce(nullif($5, ''), note)
 WHERE order_id = $1 AND attempt = $2
"""


# It was finished when it began. Its note says that the mall was told elsewhere: nothing else writes one.
CLOSE_UNPAID = "UPDATE refunds SET operator = $3, note = $4 WHERE order_id = $1 AND attempt = $2"
# Whoever says that the mall was told elsewhere ends what is still on its way: nobody tells it again.
GIVE_UP = f"UPDATE deliveries SET status = 'dead', finished_at = $2 WHERE event_id = ANY($1::text[]) AND {IS_PENDING}"


async def finish_refund(database: Database, change: ChangeRefund) -> RefundState:
    """The mall has been told; by an operator, when the change names one."""
    async with transaction(database) as opened:
        order, refund = await _lock(opened, change)
        if refund["released_at"] is not None and refund["finished_at"] is None:
            await opened.execute(REFUNDED, change.order_id)
            await opened.execute(FINISH, change.order_id, change.attempt, change.now, change.operator, change.note)
            if change.operator:
                await opened.execute(GIVE_UP, _told(refund), change.now)
        elif refund["kind"] == RefundKind.UNPAID and change.operator:
            note = change.note or "told outside the platform"
            await opened.execute(CLOSE_UNPAID, change.order_id, change.attempt, change.operator, note)
            await opened.execute(GIVE_UP, _told(refund), change.now)
        return await _now(opened, order, change)


FLAG = """
UPDATE refunds SET status = $3, operator = coalesce(nullif($4, ''), operator) WHERE order_id = $1 AND attempt = $2
"""
# What waits for its next try is due at once, too.
REVIVE = """
UPDATE deliveries SET status = 'pending', attempts = 0, since = $2, next_attempt_at = $2, finished_at = NULL
 WHERE event_id = ANY($1::text[]) AND status <> 'delivered'
"""


async def flag_refund(database: Database, change: ChangeRefund) -> RefundState:
    """The mall did not answer: it waits for an operator."""
    return await _flag(database, change, RefundStatus.ATTENTION)


async def resume_refund(database: Database, change: ChangeRefund) -> RefundState:
    """The mall is told again what it did not take."""
    return await _flag(database, change, RefundStatus.AWAITING_MALL)


async def _flag(database: Database, change: ChangeRefund, status: RefundStatus) -> RefundState:
    async with transaction(database) as opened:
        order, refund = await _lock(opened, change)
        is_unpaid = refund["kind"] == RefundKind.UNPAID
        if refund["finished_at"] is None:
            await opened.execute(FLAG, change.order_id, change.attempt, status, change.operator)
        if status is RefundStatus.AWAITING_MALL and (is_unpaid or refund["finished_at"] is None):
            await opened.execute(REVIVE, _told(refund), change.now)
        return await _now(opened, order, change)


def _told(refund: Row) -> list[str]:
    """The events that a refund may have."""
    if refund["kind"] == RefundKind.UNPAID:
        return [event_id(EventType.ORDER_CANCELLED, refund["order_id"])]
    kinds = (EventType.ORDER_REFUND_REQUESTED, EventType.ORDER_REFUNDED)
    return [event_id(kind, refund["order_id"], refund["attempt"]) for kind in kinds]


async def _lock(opened: Connection, change: ChangeRefund) -> tuple[Row, Row]:
    """The order and its refund, locked after team and order: the mall's answer is written under the refund's lock alone."""
    order = await fetch_one(opened, LOCK_ORDER, change.order_id)
    return order, await fetch_one(opened, ATTEMPT, change.order_id, change.attempt)


async def _now(opened: Connection, order: Row, change: ChangeRefund, team_status: TeamStatus | None = None) -> RefundState:
    refund = await fetch_one(opened, ATTEMPT, change.order_id, change.attempt)
    return _state(order, refund, team_status or TeamStatus(order["team_status"]), team_changed=team_status is not None)


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


# --- who still has to be started ---

OWED = """
SELECT o.source, o.out_trade_no, 1 + (SELECT count(*) FROM refunds r WHERE r.order_id = o.order_id) AS attempt
  FROM orders o JOIN teams t USING (team_id)
 WHERE t.status = 'failed' AND o.status = 'paid'
"""
OWED_BY_TEAM = f"{OWED} AND t.team_id = $1 AND o.out_trade_no > $2 ORDER BY o.out_trade_no LIMIT $3"
OWED_BY_FAILED_TEAMS = f"{OWED} AND t.complete_count > 0 AND t.failed_at < $1 ORDER BY t.failed_at LIMIT $2"


async def owed_by_team(database: Database, team_id: str, after: str, limit: int) -> list[RefundInput]:
    """Paid orders of a failed team that no refund has begun for, by out_trade_no, those after the given one."""
    async with connection(database) as opened:
        return _to_start(await opened.fetch(OWED_BY_TEAM, team_id, after, limit))


async def owed_by_failed_teams(database: Database, since: datetime, limit: int) -> list[RefundInput]:
    """The same of all teams that had failed by a moment."""
    async with connection(database) as opened:
        return _to_start(await opened.fetch(OWED_BY_FAILED_TEAMS, since, limit))


WISHED = """
SELECT o.source, o.status, t.status AS team_status, t.completed_at, t.refund_window,
       (SELECT count(*) FROM refunds r WHERE r.order_id = o.order_id) AS attempts
  FROM orders o JOIN teams t USING (team_id) WHERE t.team_id = $1 AND o.out_trade_no = $2
"""


async def wished_refund(database: Database, wish: RefundWish) -> RefundInput | str:
    """What to start when an operator wants an order undone, or why there is nothing to start."""
    async with connection(database) as opened:
        order = await opened.fetchrow(WISHED, wish.team_id, wish.out_trade_no)
    if order is None:
        return "this team has no such order"
    in_window = wish.now < _window_end(order)
    match decide_refund(OrderStatus(order["status"]), TeamStatus(order["team_status"]), in_window=in_window, force=False):
        case RefundStep.AS_IT_IS:
            return f"the order is {order['status']} already"
        case RefundStep.REFUSE:
            return "the refund window is over: start a RefundWorkflow with force, or ask the API to"
    return RefundInput(
        source=order["source"],
        out_trade_no=wish.out_trade_no,
        reason=wish.reason,
        operator=wish.operator or "operator",
        attempt=order["attempts"] + 1,
    )


UNRECORDED = """
SELECT o.order_id FROM orders o
 WHERE o.status = 'refunding' AND o.payment_outcome = 'refunding' AND NOT o.live
   AND NOT EXISTS (SELECT FROM refunds r WHERE r.order_id = o.order_id AND r.finished_at IS NULL)
 ORDER BY o.order_id LIMIT $1
"""


async def record_unrecorded(database: Database, now: datetime, limit: int) -> list[RefundInput]:
    """Opens the refunds of payments that a worker from before there were refunds could not settle; returns them."""
    async with connection(database) as opened:
        found = await opened.fetch(UNRECORDED, limit)
    return [recorded for row in found if (recorded := await _record_unrecorded(database, row["order_id"], now))]


async def _record_unrecorded(database: Database, order_id: str, now: datetime) -> RefundInput | None:
    async with transaction(database) as opened:
        order = await fetch_one(opened, LOCK_ORDER, order_id)
        if order["status"] != OrderStatus.REFUNDING or await unsettled_attempt(opened, order_id) is not None:
            return None
        attempt = await open_unsettled(opened, order, order["paid_amount"], order["payment_reason"], now)
    return RefundInput(source=order["source"], out_trade_no=order["out_trade_no"], attempt=attempt)


UNFINISHED = """
UPDATE refunds r SET looked_at = $1
  FROM orders o
 WHERE o.order_id = r.order_id
   AND (r.order_id, r.attempt) IN (SELECT order_id, attempt FROM refunds WHERE finished_at IS NULL AND looked_at < $2
                                    ORDER BY looked_at LIMIT $3)
RETURNING o.source, o.out_trade_no, r.attempt
"""


async def unfinished_refunds(database: Database, now: datetime, since: datetime, limit: int) -> list[RefundInput]:
    """Refunds that nobody has seen to since a moment: their workflows are started again where they are gone."""
    async with connection(database) as opened:
        return _to_start(await opened.fetch(UNFINISHED, now, since, limit))


def _to_start(rows: list[Row]) -> list[RefundInput]:
    return [RefundInput(source=row["source"], out_trade_no=row["out_trade_no"], attempt=row["attempt"]) for row in rows]
