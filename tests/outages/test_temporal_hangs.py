"""Temporal is there and answers nobody: trading goes on directly, or is refused at once where nothing may go directly."""

import asyncio
from collections.abc import Sequence

import pytest

from embedded.stack import Stack
from tests.api.another_api import another_api
from tests.api.caller import Answer, Caller
from tests.api.polling import until
from tests.api.shop import Shop
from tests.outages.crowd import EVENTUALLY, Crowd
from tests.paused import paused, processes_of

AT_ONCE = 1.0
"""seconds in which a request is answered that nobody has to wait for, on a machine that does other things, too"""
SILENCE_IS_KNOWN = 6.0
"""seconds in which the first requests are answered that an engine has left without an answer"""


@pytest.mark.timeout(300)
async def test_trade_goes_on_while_temporal_hangs(stack: Stack, shop: Shop, crowd: Crowd) -> None:
    await crowd.completes_teams()
    with paused(processes_of(stack.part("temporal"))):
        await until(lambda: shop.mall.get("/readyz"), lambda ready: ready.ok()["status"] == "degraded", EVENTUALLY)
        await crowd.completes_teams(20)
    await crowd.completes_teams()
    await crowd.finish()
    assert not crowd.unavailable
    await until(lambda: shop.mall.get("/readyz"), lambda ready: ready.ok()["status"] == "ready", EVENTUALLY)


def assert_refused(answers: Sequence[Answer], within: float) -> None:
    for answer in answers:
        answer.refused("temporarily_unavailable", 503)
    assert max(answer.seconds for answer in answers) < within


async def test_without_direct_admission_an_engine_that_hangs_is_asked_no_more(stack: Stack, shop: Shop) -> None:
    offer = await shop.sell()

    async def opens(api: Caller) -> Answer:
        return await api.post("/v1/orders", offer.request())

    async with another_api(stack, shop.mall, GROUPBUY_ADMISSION="orchestrated") as there:
        held = offer.request()
        order = (await there.post("/v1/orders", held)).ok(201)
        report = {"amount": order["pay_price"], "paid_at": order["locked_at"]}
        payment = f"/v1/orders/{order['out_trade_no']}/payment"
        with paused(processes_of(stack.part("temporal"))):
            # More than work at a time: who waits for a turn is told with those that wait for an answer.
            assert_refused(await asyncio.gather(*(opens(there) for _ in range(40))), SILENCE_IS_KNOWN)
            later = [*await asyncio.gather(*(opens(there) for _ in range(40))), await there.post(payment, report)]
            assert_refused(later, AT_ONCE)
            assert len({answer.headers["Retry-After"] for answer in later}) > 3
            assert (await there.post("/v1/orders", held)).replayed  # the rows know that
            assert (await there.get("/readyz")).status == 503
        await until(lambda: there.get("/readyz"), lambda ready: ready.status == 200, EVENTUALLY)
        (await opens(there)).ok(201)
        assert (await there.post(payment, report)).ok()["outcome"] == "settled"
    assert await shop.violations() == []
