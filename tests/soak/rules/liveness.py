"""What must happen at last, and by when."""

from tests.soak.history import ENGINE_AWAY
from tests.soak.rules.facts import OK, UNKNOWN, Facts, Tally

AWAY_IS_KNOWN = 3.5
"""seconds after which the API asks an engine no more that answers nobody"""


def every_answer_comes_in_time(facts: Facts, tally: Tally) -> None:
    """No caller waits longer than the bound, whatever the answer."""
    for operation in facts.history.operations:
        took = operation.ended - operation.began
        tally.check(took <= facts.bounds.answer, f"{operation.kind} {operation.subject} took {took:.1f} s: {operation.code}")


def every_due_seat_is_freed(facts: Facts, tally: Tally) -> None:
    """An unpaid seat ends within the bound after its window and grace."""
    for order in facts.rows.orders:
        team = facts.teams[order.team_id]
        due = order.lock_expires_at + team.payment_grace
        ended = order.cancelled_at or order.payment_reported_at
        late = (ended or float("inf")) - due
        if order.status == "locked" or (ended is not None and late > 0 and order.payment_outcome != "reseated"):
            bound = facts.bound(due, order.team_id)
            tally.check(ended and late <= bound, f"{order.out_trade_no} was due at {due:.2f} and held for {late:.1f} s more")


def every_team_is_decided(facts: Facts, tally: Tally) -> None:
    """A team is complete or failed within the bound after its deadline and grace."""
    for team in facts.rows.teams:
        due = team.deadline + team.payment_grace
        decided = min((moment for moment in (team.completed_at, team.failed_at) if moment is not None), default=None)
        late = (decided or float("inf")) - due
        tally.check(
            late <= facts.bound(due, team.team_id), f"team {team.team_id} was due at {due:.2f} and decided {late:.1f} s later"
        )


def every_payment_has_ended(facts: Facts, tally: Tally) -> None:
    """No payment is left in a team that is undecided or failed, or on its way back."""
    for order in facts.rows.orders:
        if order.paid_amount is not None:
            team = facts.teams[order.team_id]
            is_kept = order.status == "paid" and team.status in {"completed", "completed_with_refunds"}
            tally.check(
                is_kept or order.status == "refunded", f"{order.out_trade_no} is {order.status} in a team that is {team.status}"
            )


def every_refund_has_ended(facts: Facts, tally: Tally) -> None:
    """Every refund is done or rejected."""
    for refund in facts.rows.refunds:
        tally.check(refund.finished_at is not None, f"refund {refund.attempt} of {refund.order_id} is {refund.status}")


def every_delivery_has_ended(facts: Facts, tally: Tally) -> None:
    """Nothing is left to be sent: every delivery was taken, or is dead for a reason that somebody gave."""
    for delivery in facts.rows.deliveries:
        tally.check(delivery.status != "pending", f"{delivery.event_id} is pending after {delivery.attempts} attempt(s)")


def every_shutdown_has_ended(facts: Facts, tally: Tally) -> None:
    """A campaign that is shut down comes to its end: no team of it is forming, and every refund is done."""
    for shutdown in facts.rows.shutdowns:
        tally.check(shutdown.finished_at is not None, f"the shutdown of campaign {shutdown.campaign_id} goes on")


def every_part_comes_back(facts: Facts, tally: Tally) -> None:
    """After a fault every part works again, by itself."""
    for fault in facts.history.faults:
        tally.check(fault.whole_at is not None, f"after {fault.kind} at {fault.began:.2f} a part stayed away")


def trade_needs_no_engine(facts: Facts, tally: Tally) -> None:
    """While Temporal answers nobody, every lock is decided, and at once."""
    phases = [fault for fault in facts.history.faults if fault.kind == ENGINE_AWAY]
    for lock in facts.of("lock"):
        if any(phase.began + AWAY_IS_KNOWN < lock.began and lock.ended < phase.ended for phase in phases):
            tally.check(lock.outcome is not UNKNOWN, f"{lock.subject} was answered {lock.code} while the engine was away")


def what_was_answered_can_be_read(facts: Facts, tally: Tally) -> None:
    """Whoever reads an order after an answer sees what that said, or what came of it since."""
    for read in facts.of("read", None, OK):
        is_paid = any(pay.ended <= read.began for pay in facts.of("pay", read.subject, OK))
        status = read.answer["status"]
        if is_paid:
            tally.check(status in {"paid", "refunding", "refunded"}, f"{read.subject} was paid, and is read as {status}")


RULES = (
    every_answer_comes_in_time,
    every_due_seat_is_freed,
    every_team_is_decided,
    every_payment_has_ended,
    every_refund_has_ended,
    every_delivery_has_ended,
    every_shutdown_has_ended,
    every_part_comes_back,
    trade_needs_no_engine,
    what_was_answered_can_be_read,
)
