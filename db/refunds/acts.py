"""What operators do to refunds, as the audit has it: each act once, with what came of it."""

from db.core.connection import Connection, Database, Row, transaction
from db.orders.release import LOCK_ORDER
from db.settings.audit import find_outcome, record_act
from domain.lifecycle import RefundKind, RefundStatus
from domain.messages.acts import Outcome
from domain.messages.refunds import ChangeRefund, DeclineAct, RefundAction

REFUND = "SELECT * FROM refunds WHERE order_id = $1 AND attempt = $2"


async def decline_act(database: Database, request: DeclineAct) -> Outcome:
    """Records that an act changed nothing, and why, as the rows have it; a repeat returns the recorded outcome."""
    subject = subject_of(request.order_id)
    async with transaction(database) as conn:
        await conn.execute(LOCK_ORDER, request.order_id)
        if earlier := await find_outcome(conn, subject, request.act):
            return earlier
        refund = await conn.fetchrow(REFUND, request.order_id, request.attempt)
        outcome = Outcome(changed=False, detail=why_nothing_changed(refund, request.action))
        return await record_act(conn, subject, request.action, request.act, outcome, request.now)


def why_nothing_changed(refund: Row | None, action: RefundAction) -> str:
    """The reason that a refund's row gives."""
    if refund is None:
        return "The order has no refund."
    if refund["status"] == RefundStatus.REJECTED:
        return "The refund was rejected: the order is paid."
    if action is RefundAction.DECIDE:
        is_asked = refund["question"] is not None and refund["released_at"] is None
        return f"The mall had {refund['answer']} before." if is_asked and refund["answer"] else "The mall is not being asked."
    if refund["kind"] == RefundKind.UNPAID:
        return "The order is cancelled, and the mall was told."
    if refund["status"] == RefundStatus.DONE:
        return "The refund is done already."
    if refund["answer"] == "vetoed" and refund["released_at"] is None:
        return "The mall had vetoed before."
    return "Nothing waits to be sent." if action is RefundAction.RESEND else "Another act was faster."


async def earlier_outcome(conn: Connection, change: ChangeRefund, action: RefundAction) -> Outcome | None:
    """What came of the change's act when it arrived before, if it is this action; to be read under the order's lock."""
    if change.act is None or change.action is not action:
        return None
    return await find_outcome(conn, subject_of(change.order_id), change.act)


async def record_outcome(
    conn: Connection, change: ChangeRefund, action: RefundAction, *, changed: bool, detail: str
) -> Outcome | None:
    """Records what came of the change's act, if it is this action."""
    if change.act is None or change.action is not action:
        return None
    outcome = Outcome(changed=changed, detail=detail)
    return await record_act(conn, subject_of(change.order_id), action, change.act, outcome, change.now)


def subject_of(order_id: str) -> str:
    return f"refund/{order_id}"
