"""Temporal goes away for a while: trading goes on directly, and all sagas catch up by themselves."""

import asyncio
import os
from datetime import UTC, datetime
from functools import partial

import pytest

from embedded.stack import Stack
from tests.api.another_api import another_api
from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import Shop
from tests.outages.crowd import EVENTUALLY, Crowd

SECONDS = float(os.environ.get("GROUPBUY_TEST_OUTAGE_SECONDS", "4"))


@pytest.mark.timeout(300)
async def test_trade_goes_on_while_temporal_is_gone(stack: Stack, shop: Shop, crowd: Crowd) -> None:
    await crowd.completes_teams()
    await stack.stop_part("temporal")
    await until(lambda: shop.mall.get("/readyz"), lambda ready: ready.ok()["status"] == "degraded", EVENTUALLY)
    await crowd.completes_teams(10)
    await asyncio.sleep(SECONDS)
    await crowd.completes_teams(10)
    assert not crowd.unavailable
    await stack.start_part("temporal")
    await crowd.completes_teams()
    await crowd.finish()
    assert not crowd.unavailable
    await until(lambda: shop.mall.get("/readyz"), lambda ready: ready.ok()["status"] == "ready", EVENTUALLY)


@pytest.mark.timeout(300)
async def test_trade_goes_on_while_all_workers_are_gone(stack: Stack, shop: Shop, crowd: Crowd) -> None:
    await crowd.completes_teams()
    await stack.stop_part("worker-1")
    await crowd.completes_teams(10)
    await until(lambda: shop.mall.get("/readyz"), lambda ready: ready.ok()["status"] == "degraded", EVENTUALLY)
    await stack.start_part("worker-1")
    await crowd.completes_teams()
    await crowd.finish()
    assert not crowd.unavailable


async def test_teams_without_a_workflow_do_not_hide_that_no_worker_answers(stack: Stack, shop: Shop) -> None:
    """Temporal itself says that a team has none, and that says nothing of the workers."""
    offer = await shop.sell(target_count=4)

    async def state() -> str:
        return str((await shop.mall.get("/readyz")).ok()["status"])

    async with another_api(stack, shop.mall, GROUPBUY_ORCHESTRATED_AT_ONCE="0") as directly:
        await until(state, lambda seen: seen == "ready", EVENTUALLY)
        await stack.stop_part("worker-1")
        opened = (await directly.post("/v1/orders", offer.request())).ok(201)
    for _ in range(3):
        (await offer.lock(team_id=opened["team_id"])).ok(201)
        (await offer.lock()).ok(201)
    assert await state() == "degraded"
    await stack.start_part("worker-1")


async def test_what_falls_due_while_temporal_is_gone_is_done_after(stack: Stack, shop: Shop, receiver: Receiver) -> None:
    offer = await shop.sell(lock_ttl=2, payment_grace=0)
    order = await offer.seat(callback=receiver.callback())
    late = await (await shop.sell(team_ttl=2, payment_grace=0, min_count=1)).seat(callback=receiver.callback())
    await shop.settle(late)
    await stack.stop_part("temporal")
    unknown_to_temporal = (await offer.lock(callback=receiver.callback())).ok(201)
    paid = (await offer.lock(callback=receiver.callback())).ok(201)
    overdue = datetime.fromisoformat(paid["lock_expires_at"])
    await asyncio.sleep(max((overdue - datetime.now(UTC)).total_seconds(), 0))
    # Seats do not lapse meanwhile: who holds one may still pay for it.
    assert (await shop.pay(paid)).ok()["outcome"] == "settled"
    assert (await shop.order(order["out_trade_no"]))["status"] == "locked"
    (await shop.pay(paid, amount="1.00")).refused("out_trade_no_reused", 422)
    needs_a_refund = await shop.pay(order, amount="1.00")
    needs_a_refund.refused("temporarily_unavailable", 503)
    assert needs_a_refund.seconds < 4  # it holds up nobody else
    await stack.start_part("temporal")
    for each in (order, unknown_to_temporal):
        await until(partial(shop.order, each["out_trade_no"]), lambda seen: seen["status"] == "cancelled", EVENTUALLY)
    await until(lambda: shop.team(late["team_id"]), lambda seen: seen["status"] == "completed", EVENTUALLY)
    await receiver.of_type("order.cancelled")
    await receiver.of_type("team.completed")
    assert await shop.violations() == []
