"""Temporal goes away for a while: nothing is decided meanwhile, and all pending work completes by itself."""

import asyncio
import os

import pytest

from embedded.stack import Stack
from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import Shop
from tests.outages.crowd import EVENTUALLY, Crowd

SECONDS = float(os.environ.get("GROUPBUY_TEST_OUTAGE_SECONDS", "12"))


@pytest.mark.timeout(300)
async def test_trade_goes_on_after_temporal_was_gone(stack: Stack, shop: Shop, crowd: Crowd) -> None:
    await crowd.completes_teams()
    await stack.stop_part("temporal")
    await crowd.meets_trouble()
    assert (await shop.mall.get("/readyz")).status == 503
    known = next(iter(crowd.orders))
    assert (await shop.order(known))["out_trade_no"] == known
    await asyncio.sleep(SECONDS)
    await stack.start_part("temporal")
    await crowd.completes_teams()
    await crowd.finish()


@pytest.mark.timeout(300)
async def test_trade_goes_on_after_temporal_crashed_again_and_again(stack: Stack, crowd: Crowd) -> None:
    for _ in range(3):
        await crowd.completes_teams()
        stack.kill("temporal")
    await crowd.completes_teams()
    await crowd.finish()


async def test_what_falls_due_while_temporal_is_gone_is_done_after(stack: Stack, shop: Shop, receiver: Receiver) -> None:
    offer = await shop.sell(lock_ttl=2, payment_grace=0)
    order = await offer.seat(callback=receiver.callback())
    late = await (await shop.sell(team_ttl=2, payment_grace=0, min_count=1)).seat(callback=receiver.callback())
    await shop.settle(late)
    await stack.stop_part("temporal")
    (await offer.lock()).refused("temporarily_unavailable", 503)
    (await shop.pay(order)).refused("temporarily_unavailable", 503)
    assert (await shop.order(order["out_trade_no"]))["status"] == "locked"
    await stack.start_part("temporal")
    await until(lambda: shop.order(order["out_trade_no"]), lambda seen: seen["status"] == "cancelled", EVENTUALLY)
    await until(lambda: shop.team(late["team_id"]), lambda seen: seen["status"] == "completed", EVENTUALLY)
    await receiver.of_type("order.cancelled")
    await receiver.of_type("team.completed")
    assert await shop.violations() == []
