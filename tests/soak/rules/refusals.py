"""Every refusal has its reason; no answer speaks of a defect."""

from collections.abc import Callable

from tests.soak.history import Operation
from tests.soak.rows import Team
from tests.soak.rules.counters import COUNTERS
from tests.soak.rules.facts import OK, REFUSED, Facts, Tally

GRACE = 0.05


def _team_is_over(facts: Facts, operation: Operation) -> bool:
    team = facts.teams.get(operation.request.get("team_id", operation.subject))
    return team is not None and operation.ended >= _over_at(facts, team) - GRACE


def _over_at(facts: Facts, team: Team) -> float:
    """The first moment at which it took nobody; its deadline may have been moved since."""
    ends = [moment for moment in (team.completed_at, team.failed_at) if moment is not None]
    was_extended = bool(facts.possible("extend", team.team_id))
    return min([*ends, float("-inf") if was_extended else team.deadline])


def _campaign_is_ended(facts: Facts, operation: Operation) -> bool:
    return any(each.began <= operation.ended for each in facts.possible("shut_down", str(operation.request["campaign_id"])))


def _is_blocked(facts: Facts, operation: Operation) -> bool:
    return any(each.began <= operation.ended for each in facts.possible("block", "True"))


def _window_is_over(facts: Facts, operation: Operation) -> bool:
    team = facts.teams[facts.orders[operation.subject].team_id]
    return team.completed_at is not None and team.completed_at + team.refund_window <= operation.ended + GRACE


def _is_another_amount(facts: Facts, operation: Operation) -> bool:
    order = facts.orders[operation.subject]
    return order.paid_amount is not None and order.paid_amount != operation.request["amount"]


def _no_refund_is_under_way(facts: Facts, operation: Operation) -> bool:
    number = operation.subject
    order = facts.orders[number]
    begun = [each.ended for kind in ("refund", "force_refund") for each in facts.of(kind, number, OK)]
    return not any(
        refund.requested_at <= begins < operation.began and operation.ended < (refund.finished_at or float("inf"))
        for refund in facts.refunds.get(order.order_id, [])
        for begins in begun
    )


REASONS: dict[str, Callable[[Facts, Operation], bool]] = {
    "team_closed": _team_is_over,
    "campaign_inactive": _campaign_is_ended,
    "mall_blocked": _is_blocked,
    "refund_window_closed": _window_is_over,
    "out_trade_no_reused": _is_another_amount,
    "refund_not_found": _no_refund_is_under_way,
}
UNJUDGED = {"NOT_FOUND", *(counter.code for counter in COUNTERS)}
"""judged by other rules, or Temporal's word about a workflow that has ended"""


def _only_for_its_reason(code: str) -> Callable[[Facts, Tally], None]:
    def rule(facts: Facts, tally: Tally) -> None:
        for operation in facts.history.operations:
            if operation.outcome is REFUSED and operation.code == code:
                detail = f"{operation.kind} {operation.subject} was refused with {code} at {operation.ended:.2f}"
                tally.check(REASONS[code](facts, operation), detail)

    rule.__name__ = f"{code}_only_when_it_is_so"
    rule.__doc__ = f"A request is refused with `{code}` only when that was so."
    return rule


def no_other_refusal(facts: Facts, tally: Tally) -> None:
    """Nothing is refused for a reason that no story gives, and no answer speaks of a defect."""
    for operation in facts.history.operations:
        is_expected = operation.outcome is not REFUSED or operation.code in {*REASONS, *UNJUDGED}
        detail = f"{operation.kind} {operation.subject} was answered {operation.code}"
        tally.check(is_expected and operation.code != "internal_error", detail)


RULES = (*map(_only_for_its_reason, REASONS), no_other_refusal)
