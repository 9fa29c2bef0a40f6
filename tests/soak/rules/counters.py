"""Seats, stock and limits are bounded counters: never above their bound, and nobody is refused while there is room.

When an order was counted is known only within limits. It was *surely* counted from the answer that gave it out until the moment
that its release names, which is before the release is committed; and *possibly* from the moment that its lock names until
somebody was told of its release. Too many sure ones are an oversale; too few possible ones make a refusal wrong.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from tests.soak.history import Operation
from tests.soak.rows import Order
from tests.soak.rules.facts import OK, REFUSED, Facts, Tally

FOREVER = float("inf")
Span = tuple[float, float]


@dataclass(frozen=True)
class Counted:
    sure: tuple[Span, ...]
    possible: Span


@dataclass(frozen=True)
class Counter:
    """What is counted together, up to which bound, and the code that refuses more."""

    code: str
    group: Callable[[Order], Hashable]
    bound: Callable[[Facts, Order], int | None]
    asked: Callable[[Operation], Hashable]
    """the group that a refused request wanted to be counted in"""


COUNTERS = (
    Counter(
        "team_full",
        lambda order: order.team_id,
        lambda facts, order: facts.teams[order.team_id].target_count,
        lambda lock: lock.request.get("team_id"),
    ),
    Counter(
        "stock_exhausted",
        lambda order: order.campaign_id,
        lambda facts, order: facts.campaigns[order.campaign_id].stock,
        lambda lock: lock.request["campaign_id"],
    ),
    Counter(
        "take_limit_reached",
        lambda order: (order.campaign_id, order.user_id),
        lambda facts, order: facts.campaigns[order.campaign_id].take_limit,
        lambda lock: (lock.request["campaign_id"], lock.request["user_id"]),
    ),
    Counter(
        "already_in_team",
        lambda order: (order.team_id, order.user_id),
        lambda _facts, _order: 1,
        lambda lock: (lock.request.get("team_id"), lock.request["user_id"]),
    ),
)


def counted(facts: Facts, order: Order) -> Counted:
    refund = facts.returned(order)
    ends = (order.cancelled_at, refund.released_at if refund else None)
    released = [moment for moment in ends if moment is not None]
    if order.payment_outcome == "refunding" and order.payment_reported_at is not None:
        # Its payment released the seat, if it was held until then.
        released.append(order.payment_reported_at)
    until = min(released, default=FOREVER)
    answered = [each.ended for each in facts.of("lock", order.out_trade_no, OK) if each.answer.get("status") == "locked"]
    begins = min(answered, default=FOREVER)
    if order.payment_outcome == "reseated":
        lapsed = order.lock_expires_at + facts.teams[order.team_id].payment_grace
        again = min((each.ended for each in facts.of("pay", order.out_trade_no, OK)), default=FOREVER)
        spans = [(begins, lapsed), (again, until)]
    else:
        spans = [(begins, until)]
    return Counted(
        tuple(span for span in spans if span[0] < span[1]), (order.locked_at, _told(facts, order) if released else FOREVER)
    )


def _told(facts: Facts, order: Order) -> float:
    """When the mall was first told that the order is not counted any more."""
    proofs = {"order.refunded"} | ({"order.cancelled"} if order.payment_outcome != "reseated" else set())
    events = (event for event in facts.events_of.get(order.out_trade_no, []) if event.type in proofs)
    return min((each.at for event in events for each in facts.received.get(event.event_id, [])), default=FOREVER)


def highest(spans: Iterable[Span], begin: float = -FOREVER, end: float = FOREVER) -> int:
    """The most of these that overlap at any moment between begin and end."""
    steps = [(max(since, begin), until) for since, until in spans if since <= end and until >= begin]
    changes = sorted(
        [(since, 1) for since, _ in steps] + [(until, -1) for _, until in steps], key=lambda change: (change[0], change[1])
    )
    level = most = 0
    for _, change in changes:
        level += change
        most = max(most, level)
    return most


def _counted_together(facts: Facts, counter: Counter) -> dict[Hashable, tuple[int, list[Counted]]]:
    found: defaultdict[Hashable, tuple[int, list[Counted]]] = defaultdict(lambda: (0, []))
    for order in facts.rows.orders:
        bound = counter.bound(facts, order)
        if bound is not None:
            found[counter.group(order)] = (bound, [*found[counter.group(order)][1], counted(facts, order)])
    return found


def _never_above(counter: Counter) -> Callable[[Facts, Tally], None]:
    def rule(facts: Facts, tally: Tally) -> None:
        for group, (bound, members) in _counted_together(facts, counter).items():
            most = highest(span for member in members for span in member.sure)
            if most >= bound:
                tally.check(most == bound, f"{group}: {most} at once, and {bound} is the bound")

    rule.__name__ = f"never_above_the_bound_of_{counter.code}"
    rule.__doc__ = f"Acknowledged orders never exceed the bound that `{counter.code}` guards."
    return rule


def _refused_only_when_full(counter: Counter) -> Callable[[Facts, Tally], None]:
    def rule(facts: Facts, tally: Tally) -> None:
        together = _counted_together(facts, counter)
        for lock in facts.of("lock", None, REFUSED):
            if lock.code == counter.code:
                group = counter.asked(lock)
                bound, members = together.get(group, (1, []))
                most = highest((member.possible for member in members), lock.began, lock.ended)
                tally.check(
                    most >= bound, f"{lock.subject}: {counter.code} in {group}, where {most} of {bound} can have been taken"
                )

    rule.__name__ = f"{counter.code}_only_when_it_is_so"
    rule.__doc__ = f"A lock is refused with `{counter.code}` only where the bound can have been reached at that moment."
    return rule


RULES = (*map(_never_above, COUNTERS), *map(_refused_only_when_full, COUNTERS))
