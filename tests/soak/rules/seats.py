"""Orders and their seats."""

from tests.soak.rows import Order
from tests.soak.rules.facts import OK, REFUSED, Facts, Tally

GRACE = 0.05
"""seconds by which clocks of two processes on one machine may be read apart"""


def an_answered_lock_has_its_order(facts: Facts, tally: Tally) -> None:
    """An order that was given out exists: the same id, team, buyer and price."""
    for operation in facts.of("lock", None, OK):
        order = facts.orders.get(operation.subject)
        told = {name: operation.answer.get(name) for name in ("order_id", "team_id", "user_id", "pay_price")}
        true = order and {
            "order_id": order.order_id,
            "team_id": order.team_id,
            "user_id": order.user_id,
            "pay_price": order.pay_price,
        }
        tally.check(told == true, f"{operation.subject} was answered {told}, and is {true}")


def a_number_has_one_order(facts: Facts, tally: Tally) -> None:
    """Whoever repeats a request gets the same order."""
    for number in facts.orders:
        answers = {operation.answer.get("order_id") for operation in facts.of("lock", number, OK)}
        if len(facts.of("lock", number, OK)) > 1:
            tally.check(len(answers) == 1, f"{number} was answered with the orders {answers}")


def a_refused_lock_leaves_nothing(facts: Facts, tally: Tally) -> None:
    """A number whose every request was refused has no order."""
    for number in {operation.subject for operation in facts.of("lock", None, REFUSED)}:
        if not facts.possible("lock", number):
            tally.check(number not in facts.orders, f"{number} was refused, and has an order")


def a_seat_is_lost_only_for_a_reason(facts: Facts, tally: Tally) -> None:
    """An unpaid seat ends by its time, by somebody who asked for it, or with its team."""
    for order in facts.rows.orders:
        if order.cancel_reason is not None and order.cancelled_at is not None:
            detail = f"{order.out_trade_no} was cancelled by {order.cancel_reason} at {order.cancelled_at:.2f}"
            tally.check(_has_reason(facts, order, order.cancelled_at), detail)


def _has_reason(facts: Facts, order: Order, cancelled_at: float) -> bool:
    team, number = facts.teams[order.team_id], order.out_trade_no
    match order.cancel_reason:
        case "lock_timeout":
            return cancelled_at >= order.lock_expires_at + team.payment_grace - GRACE
        case "buyer":
            return any(each.began <= cancelled_at + GRACE for each in facts.possible("refund", number))
        case "operator":
            return any(each.began <= cancelled_at + GRACE for each in facts.possible("force_refund", number))
        case "team_failed":
            return team.failed_at is not None
        case "team_completed":
            return team.completion in {"min_count", "operator"}
        case _:
            return False


RULES = (
    an_answered_lock_has_its_order,
    a_number_has_one_order,
    a_refused_lock_leaves_nothing,
    a_seat_is_lost_only_for_a_reason,
)
