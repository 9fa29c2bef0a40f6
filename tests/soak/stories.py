"""What happens in the market. Each story makes one of the rare situations likely; many of them run side by side.

A story draws what it does from its own random numbers, so that a seed names the same stories again. It expects nothing: under
faults any call may stay unanswered, and a story that has lost its way ends early.
"""

import random
import time
from asyncio import gather, sleep
from collections.abc import Awaitable, Callable

from domain.ids import team_workflow_id
from tests.api.shop import Json, now
from tests.soak.market import BLOCKED_CHANNEL, Market, Offer

Story = Callable[[Market, random.Random], Awaitable[None]]


def for_a_while(mood: str, draw: random.Random) -> str:
    """The mall is `busy`, `hang` or `gone` for an order's events, until a moment that is near."""
    return f"{mood}/{time.time() + draw.uniform(1, 3):.2f}"


def any_mood(draw: random.Random) -> str:
    return draw.choice(["yes", "yes", "yes", "veto", for_a_while("busy", draw), for_a_while("gone", draw)])


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


# --- buyers ---


async def friends_buy(market: Market, draw: random.Random) -> None:
    """A team fills and is paid; one of its members looks, one may leave."""
    orders = await complete_team(market, market.offers[draw.choice(["pair", "trio"])], mood=any_mood(draw))
    if orders:
        await gather(market.read(orders[0]), market.read(orders[-1]), market.refund_act(orders[0], "resend"))
        if draw.random() < 0.5:
            await market.refund(draw.choice(orders))


async def last_seat(market: Market, draw: random.Random) -> None:
    """Many buyers want the last seats of a team at the same time."""
    offer = market.offers["crowd"]
    orders = await team_of(market, offer, draw.choice([3, 4]))
    if orders:
        rush = [market.lock(offer, team=orders[0], tries=2) for _ in range(draw.choice([3, 5]))]
        orders += [order for order in await gather(*rush) if order]
        await gather(*(market.pay(order) for order in orders[: draw.choice([2, 4, 5])]))


async def lapse_and_return(market: Market, draw: random.Random) -> None:
    """A buyer pays after the seat was lost: it may still be free."""
    offer = market.offers["pair"]
    orders = await team_of(market, offer, 2)
    if len(orders) == 2:
        await market.pay(orders[0])
        await market.until_lapsed(orders[1], more=draw.choice([-0.5, 0.0, 0.6]))
        await gather(market.pay(orders[1]), market.pay(orders[1]))
        await market.read(orders[1])


async def too_late(market: Market, draw: random.Random) -> None:
    """A buyer pays late for a seat that somebody else has taken meanwhile."""
    offer = market.offers["pair"]
    orders = await team_of(market, offer, 2, mood=any_mood(draw))
    if len(orders) == 2:
        await market.pay(orders[0])
        await market.until_lapsed(orders[1])
        other = await market.lock(offer, team=orders[0])
        if other and draw.random() < 0.7:
            await gather(market.pay(other), market.pay(orders[1]))
        else:
            await market.pay(orders[1])


async def nobody_pays(market: Market, draw: random.Random) -> None:
    """Seats time out, the team is abandoned or expires, and payments come all the same."""
    orders = await team_of(market, market.offers[draw.choice(["scarce", "brief"])], 2, mood=any_mood(draw))
    if orders:
        await market.until_lapsed(orders[-1], more=draw.uniform(0, 2))
        await market.pay(draw.choice(orders))


async def by_min_count(market: Market, draw: random.Random) -> None:
    """At the deadline enough have paid; who has not is cancelled, and pays late."""
    offer = market.offers["brief"]
    orders = await team_of(market, offer, 2)
    if len(orders) == 2:
        await market.pay(orders[0])
        await market.until_lapsed(orders[1], more=draw.choice([0.0, 1.5]))
        await gather(market.pay(orders[1]), market.lock(offer, team=orders[0], tries=1))
        await market.refund(orders[0])


async def changes_of_mind(market: Market, draw: random.Random) -> None:
    """One order is paid for, given up and looked at, all at once."""
    orders = await team_of(market, market.offers[draw.choice(["pair", "trio"])], 2, mood=any_mood(draw))
    if orders:
        order = draw.choice(orders)
        if draw.random() < 0.4:
            await market.pay(order)
        await gather(market.pay(order), market.refund(order), market.refund(order), market.read(order))


async def twice(market: Market, draw: random.Random) -> None:
    """Every request is sent more than once at the same time, and one payment with another amount."""
    offer, number, user = market.offers["trio"], market.fresh("trade"), market.fresh("buyer")
    orders = [order for order in await gather(*(market.lock(offer, number=number, user=user) for _ in range(3))) if order]
    if orders:
        order = orders[0]
        await gather(market.pay(order), market.pay(order), market.pay(order, draw.choice(["1.00", order["pay_price"]])))
        await gather(market.pay(order, "2.00"), market.lock(offer, number=number, user=user))


async def wrong_amount(market: Market, draw: random.Random) -> None:
    orders = await team_of(market, market.offers["pair"], 2, mood=any_mood(draw))
    if orders:
        await gather(market.pay(orders[0], draw.choice(["1.00", "80.01"])), *(market.pay(order) for order in orders[1:]))


async def greedy(market: Market, _: random.Random) -> None:
    """One buyer wants more seats than one may have: in one team, and in a campaign."""
    offer, user = market.offers["crowd"], market.fresh("buyer")
    orders = [order for order in await gather(*(market.lock(offer, user=user, tries=2) for _ in range(3))) if order]
    pair = market.offers["pair"]
    opener = await market.lock(pair)
    if opener:
        await gather(*(market.lock(pair, team=opener, user=user, tries=2) for _ in range(2)))
    if orders:
        await market.refund(orders[0])
        await market.lock(offer, user=user)


async def sold_out(market: Market, _: random.Random) -> None:
    """More buyers than the campaign's stock; a seat that is given up is sold again."""
    offer = await market.sell("scarce")
    orders = [order for order in await gather(*(market.lock(offer, tries=3) for _ in range(6))) if order]
    if orders:
        await gather(market.refund(orders[0]), market.lock(offer))
        await gather(*(market.pay(order) for order in orders[1:]))


async def blocked_channel(market: Market, _: random.Random) -> None:
    """An operator blocks a channel in which seats are held."""
    offer = market.offers["pair"]
    held = [await market.lock(offer, channel=BLOCKED_CHANNEL) for _ in range(2)]
    await market.block(blocked=True)
    await gather(*(market.pay(order) for order in held if order), market.lock(offer, channel=BLOCKED_CHANNEL, tries=2))
    await market.block(blocked=False)


# --- the mall ---


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
    began, mood = now(), f"gone/{time.time() + draw.uniform(1.5, 3):.2f}"
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


# --- operators ---


async def operators(market: Market, draw: random.Random) -> None:
    """A team is paid for, closed, completed, extended and cancelled at the same time."""
    offer = market.offers[draw.choice(["pair", "trio", "crowd"])]
    orders = await team_of(market, offer, draw.choice([1, 2]), mood=any_mood(draw))
    if orders:
        if draw.random() < 0.6:
            await market.pay(orders[0])
        acts = draw.sample(["close", "complete", "extend"], draw.choice([1, 2]))
        await gather(*(market.pay(order) for order in orders), *(market.team_act(orders[0], act) for act in acts))


async def longer(market: Market, draw: random.Random) -> None:
    """A team gets more time, and is filled or closed in it."""
    offer = market.offers["trio"]
    orders = await team_of(market, offer, 2)
    if orders:
        await market.team_act(orders[0], "extend")
        await gather(*(market.pay(order) for order in orders))
        await market.team_act(orders[0], draw.choice(["complete", "close"]))


async def after_the_window(market: Market, draw: random.Random) -> None:
    """A member wants to leave when the refund window is over; an operator may force it."""
    orders = await complete_team(market, await market.sell("scarce"), mood=draw.choice(["yes", "veto"]))
    if orders:
        await sleep(2.2 * market.tempo)
        await market.refund(orders[0])
        await market.force_refund(orders[0])
        await market.pay(orders[0])


async def cancelled_workflow(market: Market, draw: random.Random) -> None:
    """Somebody cancels a team's workflow, or a refund's while the mall is being asked."""
    if draw.random() < 0.5:
        orders = await team_of(market, market.offers["trio"], 2)
        if orders:
            await market.pay(orders[0])
            workflow = team_workflow_id(orders[0]["team_id"])
            await gather(market.cancel_workflow(workflow, orders[0]["team_id"]), *(market.pay(order) for order in orders))
    else:
        orders = await complete_team(market, market.offers["pair"], mood=for_a_while("busy", draw))
        if orders:
            await market.refund(orders[0])
            await market.cancel_workflow(f"refund-{orders[0]['order_id']}-1", orders[0]["out_trade_no"])


async def shutdown(market: Market, draw: random.Random) -> None:
    """A campaign is ended with its teams, one complete, one full and one half paid, while buyers pay and lock."""
    offer = await market.sell("pair")
    complete, full, half = await gather(
        complete_team(market, offer, mood=any_mood(draw)),
        team_of(market, offer, 2, mood=any_mood(draw)),
        team_of(market, offer, 1, mood=any_mood(draw)),
    )
    await gather(*(market.pay(order) for order in (*full[:1], *half)))
    await gather(
        market.shut_down(offer),
        market.lock(offer, tries=2),
        *(market.lock(offer, team=order, tries=2) for order in half),
        *(market.pay(order) for order in full[1:]),
        *(market.refund(order) for order in complete[:1]),
    )
    await gather(market.shut_down(offer), market.lock(offer, tries=1), *(market.pay(order) for order in full))


async def everything_at_once(market: Market, draw: random.Random) -> None:
    """One team is full, has a seat that timed out and is paid late, a veto, events sent again, and its campaign is ended."""
    began, offer = now(), await market.sell("pair")
    orders = await team_of(market, offer, 2, mood="veto")
    if len(orders) < 2:
        return
    first, lapsed = orders
    await market.pay(first)
    await market.until_lapsed(lapsed)
    second = await market.lock(offer, team=first, mood=for_a_while("gone", draw))
    if second is None:
        return
    await gather(market.pay(second), market.pay(lapsed), market.lock(offer, team=first, tries=1))
    await gather(market.refund(first), market.refund(second), market.shut_down(offer), market.pay(lapsed))
    await sleep(draw.uniform(0.5, 2))
    await gather(market.resend_range(began), market.resend_range(began, "delivered"), market.refund(first))


async def interference(market: Market, draw: random.Random) -> None:
    """Somebody does anything to any order of the latest teams."""
    for _ in range(draw.choice([2, 4])):
        if not market.recent:
            return
        order = draw.choice(market.recent)
        acts: list[Callable[[], Awaitable[object]]] = [
            lambda: market.pay(order),  # noqa: B023 - called in this turn
            lambda: market.refund(order),  # noqa: B023
            lambda: market.read(order),  # noqa: B023
            lambda: market.force_refund(order, force=False),  # noqa: B023
            lambda: market.team_act(order, draw.choice(["close", "complete"])),  # noqa: B023
        ]
        await draw.choices(acts, weights=[6, 3, 4, 1, 1])[0]()
        await sleep(draw.uniform(0, 0.3))


WEIGHTS: dict[Story, int] = {
    friends_buy: 3,
    last_seat: 2,
    lapse_and_return: 2,
    too_late: 2,
    nobody_pays: 1,
    by_min_count: 1,
    changes_of_mind: 2,
    twice: 2,
    wrong_amount: 1,
    greedy: 2,
    sold_out: 1,
    blocked_channel: 2,
    veto: 2,
    redelivery: 2,
    silent_mall: 1,
    operators: 2,
    longer: 1,
    after_the_window: 2,
    cancelled_workflow: 1,
    shutdown: 2,
    everything_at_once: 2,
    interference: 3,
}


def deck(seed: int, number: int) -> list[Story]:
    """Every story at least once, in an order that the seed decides."""
    cards = [story for story, weight in WEIGHTS.items() for _ in range(weight)]
    random.Random(f"{seed}/{number}").shuffle(cards)  # noqa: S311 - it is to be repeatable
    return cards
