"""What operators do to teams, refunds and campaigns, while buyers and malls do theirs."""

import random
from asyncio import gather, sleep
from collections.abc import Awaitable, Callable

from domain.ids import team_workflow_id
from tests.api.shop import now
from tests.soak.market import Market
from tests.soak.platform import QUEUED
from tests.soak.stories.teams import any_mood, complete_team, for_a_while, next_one, soon, team_of


async def at_odds(market: Market, draw: random.Random) -> None:
    """A team is paid for, closed, completed and extended at the same time; then somebody would like to join it."""
    offer = market.offers[draw.choice(["pair", "trio", "crowd"])]
    orders = await team_of(market, offer, draw.choice([1, 2]), mood=any_mood(draw))
    if orders:
        if draw.random() < 0.6:
            await market.pay(orders[0])
        acts = draw.sample(["close", "complete", "extend"], draw.choice([1, 2]))
        await gather(*(market.pay(order) for order in orders), *(market.team_act(orders[0], act) for act in acts))
        await market.lock(offer, team=orders[0], tries=1)


async def longer(market: Market, draw: random.Random) -> None:
    """A team gets more time, is completed or closed in it, and somebody comes too late."""
    offer = market.offers["trio"]
    orders = await team_of(market, offer, 2)
    if orders:
        await market.team_act(orders[0], "extend")
        await gather(*(market.pay(order) for order in orders))
        await market.team_act(orders[0], draw.choice(["complete", "close"]))
        await market.lock(offer, team=orders[0], tries=1)


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


async def terminated_workflow(market: Market, draw: random.Random) -> None:
    """Somebody terminates a team's workflow: what it would have done falls to reconciliation."""
    orders = await team_of(market, market.offers[draw.choice(["pair", "trio"])], 2, mood=any_mood(draw))
    if orders:
        await market.pay(orders[0])
        workflow = team_workflow_id(orders[0]["team_id"])
        await gather(
            market.terminate_workflow(workflow, orders[0]["team_id"]), *(soon(draw, market.pay(order)) for order in orders[1:])
        )
        if draw.random() < 0.5:
            await market.refund(orders[0])


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
    second = await next_one(market, offer, first, lambda: draw.choice([for_a_while("gone", draw), "veto", QUEUED]))
    if second is None:
        return
    await gather(market.pay(second), soon(draw, market.pay(lapsed)), market.lock(offer, team=first, tries=1))
    await gather(
        soon(draw, market.refund(first)),
        soon(draw, market.refund(second)),
        soon(draw, market.shut_down(offer)),
        soon(draw, market.pay(lapsed)),
        soon(draw, market.resend_range(began, "delivered")),
    )
    await sleep(draw.uniform(0, 2))
    await gather(
        market.resend_range(began),
        market.resend_range(began, "delivered"),
        market.refund(first),
        market.refund_act(first, "resend"),
        market.refund_act(second, "decision", approve=draw.random() < 0.5, note="by phone"),
    )


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
