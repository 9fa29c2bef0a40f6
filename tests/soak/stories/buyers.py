"""What buyers do: each of them wants a seat, or none any more."""

import random
from asyncio import gather

from tests.soak.market import BLOCKED_CHANNEL, Market
from tests.soak.stories.teams import any_mood, complete_team, next_one, team_of


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
        other = await next_one(market, offer, orders[0], lambda: any_mood(draw))
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
