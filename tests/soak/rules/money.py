"""Payments: each is booked once, and its money is kept or returned."""

from decimal import Decimal

from tests.soak.rows import Order
from tests.soak.rules.facts import OK, REFUSED, Facts, Tally

SHIPPED = {"completed", "completed_with_refunds"}


def an_answered_payment_is_booked(facts: Facts, tally: Tally) -> None:
    """A payment that was answered is in the books, with the amount and the outcome that the answer said."""
    for operation in facts.of("pay", None, OK):
        order = facts.orders[operation.subject]
        told = (operation.request["amount"], operation.answer["outcome"], operation.answer.get("reason"))
        true = (order.paid_amount, order.payment_outcome, order.payment_reason)
        tally.check(told == true, f"the payment of {operation.subject} was answered {told}, and is {true}")


def no_payment_is_invented(facts: Facts, tally: Tally) -> None:
    """What is booked was reported."""
    for order in facts.rows.orders:
        if order.paid_amount is not None:
            reported = {operation.request["amount"] for operation in facts.possible("pay", order.out_trade_no)}
            tally.check(order.paid_amount in reported, f"{order.out_trade_no} has {order.paid_amount}; reported: {reported}")


def a_repeated_payment_has_one_outcome(facts: Facts, tally: Tally) -> None:
    """Reported again, a payment has its first outcome."""
    for number in facts.orders:
        answers = facts.of("pay", number, OK)
        if len(answers) > 1:
            outcomes = {(each.answer["outcome"], each.answer.get("reason")) for each in answers}
            tally.check(len(outcomes) == 1, f"the payment of {number} was answered {outcomes}")


def payments_follow_the_table(facts: Facts, tally: Tally) -> None:
    """Settled: the right amount for a seat that was held. Reseated: the same for a seat that timed out. Else it goes back."""
    for order in facts.rows.orders:
        if order.paid_amount is not None:
            outcome = f"{order.payment_outcome} {order.payment_reason}"
            detail = f"{order.out_trade_no}: {order.paid_amount} of {order.pay_price} is {outcome}"
            tally.check(_follows(facts, order), detail)


def _follows(facts: Facts, order: Order) -> bool:
    is_right, was_cancelled = order.paid_amount == order.pay_price, order.cancel_reason is not None
    match order.payment_outcome, order.payment_reason:
        case "settled", None:
            return is_right and not was_cancelled
        case "reseated", None:
            return is_right and _had_lapsed(facts, order)
        case "refunding", "late_payment":
            return was_cancelled
        case "refunding", "amount_mismatch":
            return not is_right and not was_cancelled
        case "refunding", "mall_blocked":
            return is_right and not was_cancelled and bool(facts.possible("block", "True"))
        case _:
            return False


def _had_lapsed(facts: Facts, order: Order) -> bool:
    """Whether the seat ended by its time before it was given back. A payment of before may have waited for that transaction."""
    types = [event.type for event in facts.events_of.get(order.out_trade_no, [])]
    ends = [
        each.occurred_at for each in facts.events_of.get(order.out_trade_no, []) if each.data.get("reason") == "lock_timeout"
    ]
    return types[:2] == ["order.cancelled", "order.reseated"] and ends[0] >= order.lock_expires_at


def another_amount_is_recorded(facts: Facts, tally: Tally) -> None:
    """A second payment with another amount is refused, and waits for a person."""
    recorded = {(conflict.order_id, conflict.amount) for conflict in facts.rows.conflicts}
    for operation in facts.of("pay", None, REFUSED):
        if operation.code == "out_trade_no_reused":
            order = facts.orders[operation.subject]
            key = (order.order_id, operation.request["amount"])
            tally.check(key in recorded, f"{operation.subject}: {key[1]} beside {order.paid_amount} is recorded nowhere")


def money_is_conserved(facts: Facts, tally: Tally) -> None:
    """Every payment is either kept, by a member of a completed team, or returned once and in full."""
    paid = kept = returned = Decimal()
    for order in facts.rows.orders:
        returns = [
            each for each in facts.refunds.get(order.order_id, []) if each.kind != "unpaid" and each.released_at is not None
        ]
        if order.paid_amount is None:
            tally.check(not returns, f"{order.out_trade_no} has no payment, and {len(returns)} returns")
            continue
        paid += Decimal(order.paid_amount)
        is_kept = order.status == "paid" and facts.teams[order.team_id].status in SHIPPED
        kept += Decimal(order.paid_amount) if is_kept else 0
        returned += sum((Decimal(each.amount) for each in returns), Decimal())
        is_returned = order.status == "refunded" and [each.amount for each in returns] == [order.paid_amount]
        is_one = is_returned if returns else is_kept
        tally.check(
            is_one,
            f"{order.out_trade_no}: {order.paid_amount} paid, {order.status}, returned {[each.amount for each in returns]}",
        )
    tally.check(paid == kept + returned, f"{paid} were paid, {kept} are kept and {returned} returned")


def the_mall_returns_exactly_that(facts: Facts, tally: Tally) -> None:
    """The mall was told to return a payment once if it is returned, never if it is kept; or an operator has told it."""
    for order in facts.rows.orders:
        told = {
            event.event_id: event.data["amount"]
            for event in facts.events_of.get(order.out_trade_no, [])
            if event.type == "order.refunded" and event.event_id in facts.received
        }
        refund = facts.returned(order)
        if refund is None:
            tally.check(not told, f"{order.out_trade_no} is not returned, and the mall was told to return {told}")
            continue
        is_told = list(told.values()) == [order.paid_amount]
        by_hand = bool(facts.possible("refund_close_manually", order.out_trade_no))
        tally.check(
            is_told or (by_hand and not told),
            f"{order.out_trade_no}: {order.paid_amount} is returned, the mall was told {told}",
        )


def the_mall_ships_exactly_that(facts: Facts, tally: Tally) -> None:
    """`team.completed` names who is kept, and who left afterwards; nobody else, and each team once."""
    completed = {event.team_id: event for event in facts.rows.events if event.type == "team.completed"}
    for team in facts.rows.teams:
        event = completed.get(team.team_id)
        if team.completed_at is None or event is None:
            tally.check(
                event is None and team.completed_at is None, f"team {team.team_id} is {team.status}, team.completed: {event}"
            )
            continue
        expected = {order.out_trade_no for order in facts.members[team.team_id] if _was_member(facts, order)}
        named = event.data["out_trade_nos"]
        tally.check(
            sorted(named) == sorted(expected), f"team {team.team_id} was completed with {named}, not {sorted(expected)}"
        )
        tally.check(event.event_id in facts.received, f"the mall was never told that team {team.team_id} is complete")


def _was_member(facts: Facts, order: Order) -> bool:
    refund = facts.returned(order)
    return order.status == "paid" or (refund is not None and refund.kind == "paid_formed")


RULES = (
    an_answered_payment_is_booked,
    no_payment_is_invented,
    a_repeated_payment_has_one_outcome,
    payments_follow_the_table,
    another_amount_is_recorded,
    money_is_conserved,
    the_mall_returns_exactly_that,
    the_mall_ships_exactly_that,
)
