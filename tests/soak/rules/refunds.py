"""Refunds: what was promised is carried out, and the mall's word stands."""

from tests.soak.history import Operation
from tests.soak.rows import Order, Refund
from tests.soak.rules.facts import OK, Facts, Tally


def an_answered_refund_is_carried_out(facts: Facts, tally: Tally) -> None:
    """A refund that was promised is there, and has come to its end; an unpaid order is simply cancelled."""
    for operation in (*facts.of("refund", None, OK), *facts.of("force_refund", None, OK)):
        order = facts.orders[operation.subject]
        refunds = facts.refunds.get(order.order_id, [])
        is_over = all(refund.finished_at is not None for refund in refunds)
        is_carried_out = is_over if refunds else order.status == "cancelled"
        tally.check(
            is_carried_out, f"{operation.kind} of {operation.subject} was promised; it is {order.status} with {refunds}"
        )


def a_vetoed_member_stays(facts: Facts, tally: Tally) -> None:
    """A refund is rejected only by a no, of the mall or of an operator in its place; the order keeps its seat and its money."""
    for order, refund in _refunds(facts):
        if refund.answer == "vetoed":
            is_rejected = refund.status == "rejected" and refund.released_at is None
            detail = f"refund {refund.attempt} of {order.out_trade_no}, {refund.status}, was vetoed by nobody, or not kept"
            tally.check(is_rejected and _said(facts, order, refund, yes=False), detail)


def a_member_leaves_only_by_consent(facts: Facts, tally: Tally) -> None:
    """A member of a completed team leaves only after a yes, of the mall or of an operator in its place."""
    for order, refund in _refunds(facts):
        if refund.question is not None and refund.released_at is not None:
            detail = f"refund {refund.attempt} of {order.out_trade_no} was released, and nobody agreed"
            tally.check(refund.answer == "agreed" and _said(facts, order, refund, yes=True), detail)


def _refunds(facts: Facts) -> list[tuple[Order, Refund]]:
    return [(facts.orders_by_id[refund.order_id], refund) for refund in facts.rows.refunds]


def _said(facts: Facts, order: Order, refund: Refund, *, yes: bool) -> bool:
    number = order.out_trade_no
    status = 200 if yes else 409
    by_mall = any(each.answered == status for each in facts.received.get(refund.question or "", []))
    by_operator = any(each.request.get("approve") is yes for each in facts.possible("refund_decision", number))
    other: list[Operation] = facts.possible("refund_close_manually" if yes else "cancel", number)
    return by_mall or by_operator or bool(other)


RULES = (an_answered_refund_is_carried_out, a_vetoed_member_stays, a_member_leaves_only_by_consent)
