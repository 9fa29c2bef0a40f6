"""The steps of a refund, one idempotent transaction each."""

from db.callbacks.redelivery import MAKE_DUE
from db.core.connection import Connection, Database, Row, fetch_one, transaction
from db.core.planner_hints import IS_UNDELIVERED
from db.orders.release import LOCK_ORDER, RETURNED, release_seat
from db.refunds.acts import earlier_outcome, record_outcome, why_nothing_changed
from db.refunds.open import ATTEMPT, SET_STATUS, record_refunded, refund_state, wake_team
from domain.ids import event_id
from domain.lifecycle import OrderStatus, RefundKind, RefundStatus, TeamStatus
from domain.messages.acts import Outcome
from domain.messages.refunds import ChangeRefund, RefundAction, RefundState
from domain.schemas.events import EventType

# Ends the deliveries of an answered question, and of what the mall was told by other means.
CLOSE = f"""
UPDATE deliveries SET status = 'closed', finished_at = $2 WHERE event_id = ANY($1::text[]) AND {IS_UNDELIVERED}
RETURNING event_id
"""

# --- the mall's answer, and what follows ---

ANSWER = """
UPDATE refunds SET answer = $3, status = 'awaiting_mall', operator = coalesce(nullif($4, ''), operator),
                   note = coalesce(nullif($5, ''), note)
 WHERE order_id = $1 AND attempt = $2 AND question IS NOT NULL AND answer IS NULL
RETURNING answer
"""


async def answer_refund(database: Database, change: ChangeRefund) -> RefundState:
    """Stores an operator's answer for the mall, and closes the question; the first answer holds."""
    async with transaction(database) as conn:
        order, refund = await _lock(conn, change)
        if earlier := await earlier_outcome(conn, change, RefundAction.DECIDE):
            return await _current(conn, order, change, outcome=earlier)
        values = (change.answer, change.operator, change.note)
        answered = await conn.fetchval(ANSWER, change.order_id, change.attempt, *values)
        await conn.execute(CLOSE, [refund["question"]], change.now)
        # A close stands for the mall's yes here; it is recorded when the refund is finished.
        detail = (
            f"The refund is {answered} in the mall's place." if answered else why_nothing_changed(refund, RefundAction.DECIDE)
        )
        outcome = await record_outcome(conn, change, RefundAction.DECIDE, changed=bool(answered), detail=detail)
        return await _current(conn, order, change, outcome=outcome)


RELEASED = "UPDATE refunds SET released_at = $3, status = 'awaiting_mall' WHERE order_id = $1 AND attempt = $2"


async def release_refund(database: Database, change: ChangeRefund) -> RefundState:
    """Releases seat, counts and quotas after the mall agreed; the team becomes completed_with_refunds, or failed."""
    async with transaction(database) as conn:
        order, refund = await _lock(conn, change)
        if refund["answer"] != "agreed" or refund["released_at"] is not None:
            return refund_state(order, refund, TeamStatus(order["team_status"]))
        team = await release_seat(conn, order, RETURNED, change.now, has_paid=True)
        await conn.execute(RELEASED, change.order_id, change.attempt, change.now)
        await record_refunded(conn, order, refund, change.now)
        await wake_team(conn, order, team.status, change.now)
        return await _current(conn, order, change, team_status=team.status)


REJECT = """
UPDATE refunds SET status = 'rejected', answer = 'vetoed', finished_at = $3
 WHERE order_id = $1 AND attempt = $2
"""


async def reject_refund(database: Database, change: ChangeRefund) -> RefundState:
    """Compensates: the order is paid again, with its seat and counts unchanged. Does nothing after the mall agreed."""
    async with transaction(database) as conn:
        order, refund = await _lock(conn, change)
        if refund["question"] and refund["answer"] != "agreed" and refund["finished_at"] is None:
            await conn.execute(SET_STATUS, change.order_id, OrderStatus.PAID)
            await conn.execute(REJECT, change.order_id, change.attempt, change.now)
            await conn.execute(CLOSE, [refund["question"]], change.now)
            await wake_team(conn, order, TeamStatus(order["team_status"]), change.now)
        return await _current(conn, order, change)


REFUNDED = "UPDATE orders SET status = 'refunded' WHERE order_id = $1"
FINISH = """
UPDATE refunds SET status = 'done', finished_at = $3, operator = coalesce(nullif($4, ''), operator),
                   note = coalesce(nullif($5, ''), note)
 WHERE order_id = $1 AND attempt = $2
"""


# An unpaid refund is done from its begin. Its note states that the mall was told by other means; nothing else writes one.
CLOSE_UNPAID = "UPDATE refunds SET operator = $3, note = $4 WHERE order_id = $1 AND attempt = $2"


async def finish_refund(database: Database, change: ChangeRefund) -> RefundState:
    """Finishes a refund after the mall was told; by other means if the change is an operator's act."""
    async with transaction(database) as conn:
        order, refund = await _lock(conn, change)
        if refund["released_at"] is None:
            return await _current(conn, order, change)
        if earlier := await earlier_outcome(conn, change, RefundAction.CLOSE_MANUALLY):
            return await _current(conn, order, change, outcome=earlier)
        is_closed = False
        if refund["finished_at"] is None:
            await conn.execute(REFUNDED, change.order_id)
            await conn.execute(FINISH, change.order_id, change.attempt, change.now, change.operator, change.note)
            if change.act is not None:
                await conn.execute(CLOSE, _next_event(refund), change.now)
                is_closed = True
        elif refund["kind"] == RefundKind.UNPAID and change.act is not None:
            is_closed = await conn.fetchval(CLOSE, _next_event(refund), change.now) is not None
            if is_closed:
                note = change.note or "told outside the platform"
                await conn.execute(CLOSE_UNPAID, change.order_id, change.attempt, change.operator, note)
        detail = "The refund is done." if is_closed else why_nothing_changed(refund, RefundAction.CLOSE_MANUALLY)
        outcome = await record_outcome(conn, change, RefundAction.CLOSE_MANUALLY, changed=is_closed, detail=detail)
        return await _current(conn, order, change, outcome=outcome)


FLAG = """
UPDATE refunds SET status = $3, operator = coalesce(nullif($4, ''), operator) WHERE order_id = $1 AND attempt = $2
"""
# Pending deliveries become due at once, too; a closed one never again.
REDELIVER = f"{MAKE_DUE} AND {IS_UNDELIVERED} RETURNING event_id"


async def flag_refund(database: Database, change: ChangeRefund) -> RefundState:
    """Flags a refund whose mall does not answer: it waits for an operator."""
    return await _flag(database, change, RefundStatus.ATTENTION)


async def resume_refund(database: Database, change: ChangeRefund) -> RefundState:
    """Makes the refund's undelivered events due again."""
    return await _flag(database, change, RefundStatus.AWAITING_MALL)


async def _flag(database: Database, change: ChangeRefund, status: RefundStatus) -> RefundState:
    async with transaction(database) as conn:
        order, refund = await _lock(conn, change)
        if earlier := await earlier_outcome(conn, change, RefundAction.RESEND):
            return await _current(conn, order, change, outcome=earlier)
        is_unpaid = refund["kind"] == RefundKind.UNPAID
        if refund["finished_at"] is None:
            await conn.execute(FLAG, change.order_id, change.attempt, status, change.operator)
        is_sent = False
        if status is RefundStatus.AWAITING_MALL and (is_unpaid or refund["finished_at"] is None):
            is_sent = await conn.fetchval(REDELIVER, _next_event(refund), change.now) is not None
        detail = "The mall is told again." if is_sent else why_nothing_changed(refund, RefundAction.RESEND)
        outcome = await record_outcome(conn, change, RefundAction.RESEND, changed=is_sent, detail=detail)
        return await _current(conn, order, change, outcome=outcome)


def _next_event(refund: Row) -> list[str]:
    """Returns the event that the mall has to get next: the question until it is answered, then the fact; none in between."""
    if refund["kind"] == RefundKind.UNPAID:
        return [event_id(EventType.ORDER_CANCELLED, refund["order_id"])]
    if refund["released_at"] is not None:
        return [event_id(EventType.ORDER_REFUNDED, refund["order_id"], refund["attempt"])]
    return [refund["question"]] if refund["answer"] is None else []


async def _lock(conn: Connection, change: ChangeRefund) -> tuple[Row, Row]:
    """Locks team, order and refund, in this order. record_attempt writes the mall's answer under the refund's lock alone."""
    order = await fetch_one(conn, LOCK_ORDER, change.order_id)
    return order, await fetch_one(conn, ATTEMPT, change.order_id, change.attempt)


async def _current(
    conn: Connection,
    order: Row,
    change: ChangeRefund,
    *,
    team_status: TeamStatus | None = None,
    outcome: Outcome | None = None,
) -> RefundState:
    refund = await fetch_one(conn, ATTEMPT, change.order_id, change.attempt)
    state = refund_state(order, refund, team_status or TeamStatus(order["team_status"]))
    return state if outcome is None else state.model_copy(update={"outcome": outcome})
