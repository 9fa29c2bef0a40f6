"""What happens in the market. Each story makes one of the rare situations likely; many of them run side by side.

A story draws what it does from its own random numbers, so that a seed names the same stories again. It expects nothing: under
faults any call may stay unanswered, and a story that has lost its way ends early.
"""

import random

from tests.soak.stories import buyers, malls, operators
from tests.soak.stories.teams import Story

WEIGHTS: dict[Story, int] = {
    buyers.friends_buy: 3,
    buyers.last_seat: 2,
    buyers.lapse_and_return: 2,
    buyers.too_late: 3,
    buyers.nobody_pays: 1,
    buyers.by_min_count: 1,
    buyers.changes_of_mind: 2,
    buyers.twice: 2,
    buyers.wrong_amount: 1,
    buyers.greedy: 2,
    buyers.sold_out: 1,
    buyers.blocked_channel: 2,
    malls.veto: 3,
    malls.redelivery: 3,
    malls.silent_mall: 1,
    operators.at_odds: 2,
    operators.longer: 1,
    operators.after_the_window: 2,
    operators.cancelled_workflow: 1,
    operators.shutdown: 3,
    operators.everything_at_once: 6,
    operators.interference: 3,
}
SLOW: dict[Story, int] = {operators.terminated_workflow: 1}
"""whose ends are waited for by minutes"""


def deck(seed: int, number: int, *, slow: bool = False) -> list[Story]:
    """Every story at least once, in an order that the seed decides."""
    stories = {**WEIGHTS, **(SLOW if slow else {})}
    cards = [story for story, weight in stories.items() for _ in range(weight)]
    random.Random(f"{seed}/{number}").shuffle(cards)  # noqa: S311 - it is to be repeatable
    return cards
