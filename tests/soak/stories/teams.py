"""What most stories begin with: a team of several members, and a mall in some mood."""

import random
import time
from asyncio import gather, sleep
from collections.abc import Awaitable, Callable

from tests.api.shop import Json
from tests.soak.market import Market, Offer
from tests.soak.platform import QUEUED

Story = Callable[[Market, random.Random], Awaitable[None]]


def for_a_while(mood: str, draw: random.Random) -> str:
    """The mall is `busy`, `hang` or `gone` for an order's events, until a moment that is near."""
    return f"{mood}/{time.time() + draw.uniform(2, 6):.2f}"


def any_mood(draw: random.Random) -> str:
    return draw.choice(["yes", "yes", QUEUED, "veto", for_a_while("busy", draw), for_a_while("gone", draw)])


async def soon(draw: random.Random, act: Awaitable[object]) -> None:
    """Within half a second, so that acts which begin together overtake each other."""
    await sleep(draw.uniform(0, 0.5))
    await act


async def team_of(market: Market, offer: Offer, count: int, *, mood: str = "yes") -> list[Json]:
    """The orders of a new team's first members."""
    opener = await market.lock(offer, mood=mood)
    if opener is None:
        return []
    joined = await gather(*(market.lock(offer, team=opener, mood=mood) for _ in range(count - 1)))
    return [opener, *(order for order in joined if order)]


async def complete_team(market: Market, offer: Offer, *, mood: str = "yes") -> list[Json]:
    orders = await team_of(market, offer, offer.target_count, mood=mood)
    await gather(*(market.pay(order) for order in orders))
    return orders


async def next_one(market: Market, offer: Offer, team: Json, mood: Callable[[], str]) -> Json | None:
    """The order of whoever takes the seat that has lapsed: it is freed soon, not at once."""
    for _ in range(5):
        order = await market.lock(offer, team=team, mood=mood())
        if order is not None:
            return order
        await sleep(0.5)
    return None
