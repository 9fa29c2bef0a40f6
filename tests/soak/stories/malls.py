"""What the mall does: it says no, says nothing, is gone, and is told again."""

import random
import time
from asyncio import gather, sleep

from tests.api.shop import now
from tests.soak.market import Market
from tests.soak.stories.teams import complete_team, for_a_while


async def veto(market: Market, draw: random.Random) -> None:
    """The mall does not let a member go; asked again, neither, unless an operator says so."""
    orders = await complete_team(market, market.offers["pair"], mood="veto")
    if orders:
        await market.refund(orders[0])
        await sleep(draw.choice([0.1, 0.6]))
        await gather(market.refund(orders[0]), market.pay(orders[0]))
        if draw.random() < 0.5:
            await gather(
                market.force_refund(orders[0]), market.refund_act(orders[0], "decision", approve=True, note="by phone")
            )


async def redelivery(market: Market, draw: random.Random) -> None:
    """The mall says that it is gone; its events are dead until somebody sends them again, or twice at once."""
    began, mood = now(), f"gone/{time.time() + draw.uniform(3, 6):.2f}"
    orders = await complete_team(market, market.offers["pair"], mood=mood)
    if orders:
        await market.refund(orders[0])
        await sleep(draw.uniform(1, 3))
        dead = await market.dead_events()
        chosen = draw.sample(dead, min(len(dead), 2))
        await gather(*(market.resend(event_id, by_mall=draw.random() < 0.5) for event_id in chosen for _ in range(2)))
        await gather(
            market.refund_act(orders[0], "resend"), market.resend_range(began, draw.choice(["dead", "delivered", "pending"]))
        )


async def silent_mall(market: Market, draw: random.Random) -> None:
    """The mall does not answer the question; an operator does, or tells it elsewhere."""
    mood = for_a_while(draw.choice(["busy", "hang"]), draw)
    orders = await complete_team(market, market.offers["pair"], mood=mood)
    if orders:
        order = draw.choice(orders)
        await market.refund(order)
        await gather(
            market.refund_act(order, "decision", approve=draw.random() < 0.5, note="by phone"),
            market.refund_act(order, draw.choice(["resend", "close_manually"])),
        )
