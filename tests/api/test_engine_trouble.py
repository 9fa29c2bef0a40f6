"""An API process whose Temporal cannot be reached, has no such namespace, or is slow: it trades by the rows.

Each trades in the same teams as the stack's own API, whose requests go through the workflows.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import urlsplit

import pytest

from embedded.ports import HOST, free_port
from embedded.stack import Stack
from tests.api.another_api import another_api
from tests.api.caller import Caller
from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import Json, Offer, Shop, moment
from tests.line import Line

Trouble = Callable[[Stack, Shop], AbstractAsyncContextManager[Caller]]
PROMPT = 2.0
"""seconds that no answer takes, with a workflow that is waited for 0.3 s"""


async def admissions(api: Caller) -> dict[tuple[str, str], float]:
    """How many locks and payments this process admitted, by way and reason."""
    counts: dict[tuple[str, str], float] = {}
    for line in (await api.get("/metrics")).body.decode().splitlines():
        name, _, labels = line.partition("{")
        if name == "groupbuy_admissions_total":
            fields = dict(field.split("=") for field in labels.partition("}")[0].split(","))
            key = (fields["way"].strip('"'), fields["reason"].strip('"'))
            counts[key] = counts.get(key, 0) + float(line.rpartition(" ")[2])
    return counts


async def state(api: Caller) -> str:
    return str((await api.get("/readyz")).ok()["status"])


async def pay(api: Caller, order: Json) -> Json:
    report = {"amount": order["pay_price"], "paid_at": moment()}
    answer = await api.post(f"/v1/orders/{order['out_trade_no']}/payment", report)
    assert answer.seconds < PROMPT
    paid: Json = answer.ok()
    return paid


async def trade_in_both(offer: Offer, here: Caller, there: Caller, receiver: Receiver) -> None:
    """A team that is half direct and half orchestrated, whose opener went both ways at once."""
    callback = receiver.callback()
    opening = offer.request(callback=callback)
    opened = await asyncio.gather(here.post("/v1/orders", opening), there.post("/v1/orders", opening))
    assert sorted(answer.status for answer in opened) == [200, 201]
    opener = opened[0].body
    joiners = []
    for api in (there, here):
        joined = await api.post("/v1/orders", offer.request(callback=callback, team_id=opener["team_id"]))
        assert joined.seconds < PROMPT
        joiners.append(joined.ok(201))
    full = offer.request(callback=callback, team_id=opener["team_id"])
    for api in (there, here):
        (await api.post("/v1/orders", full)).refused("team_full", 409)
    await pay(here, joiners[0])
    await pay(there, joiners[1])
    paid = await pay(there, opener)
    assert (paid["outcome"], paid["team"]["status"]) == ("settled", "completed")
    (completed,) = await receiver.of_type("team.completed")
    assert completed.data["team_id"] == opener["team_id"]


@asynccontextmanager
async def unreachable(stack: Stack, shop: Shop) -> AsyncIterator[Caller]:
    async with another_api(stack, shop.mall, TEMPORAL_ADDRESS=f"{HOST}:{free_port()}") as api:
        yield api


@asynccontextmanager
async def without_namespace(stack: Stack, shop: Shop) -> AsyncIterator[Caller]:
    async with another_api(stack, shop.mall, TEMPORAL_NAMESPACE="nowhere") as api:
        yield api


@pytest.mark.parametrize("trouble", [unreachable, without_namespace])
async def test_an_api_without_an_engine_trades_with_one_that_has_it(
    stack: Stack, shop: Shop, receiver: Receiver, trouble: Trouble
) -> None:
    offer = await shop.sell()
    async with trouble(stack, shop) as there:
        await trade_in_both(offer, shop.mall, there, receiver)
        assert await state(there) == "degraded"
        counts = await admissions(there)
        assert set(counts) == {("direct", "engine_away")}


async def test_an_api_whose_engine_answers_slowly_waits_for_it_as_long_as_it_may_and_no_longer(
    stack: Stack, shop: Shop, receiver: Receiver
) -> None:
    offer = await shop.sell()
    temporal = urlsplit(f"//{stack.addresses.temporal_address}")
    assert temporal.hostname is not None
    assert temporal.port is not None
    async with Line(temporal.hostname, temporal.port) as line:
        slow = {"TEMPORAL_ADDRESS": f"{HOST}:{line.port}", "GROUPBUY_ORCHESTRATED_WITHIN": "0.3"}
        async with another_api(stack, shop.mall, **slow) as there:
            line.delay = 0.4
            await trade_in_both(offer, shop.mall, there, receiver)
            assert await state(there) == "degraded"
            # The engine is asked until it was found away: these waited, and the next ones do not.
            assert (await admissions(there))[("direct", "no_answer")] == 3
            line.delay = 0.0
            assert await until(lambda: state(there), lambda seen: seen == "ready") == "ready"

            async def open_another() -> dict[tuple[str, str], float]:
                team = (await there.post("/v1/orders", offer.request())).ok(201)["team_id"]
                await shop.until_team(team, "forming")
                return await admissions(there)

            # On a busy machine the engine may take longer than 0.3 s once more.
            await until(open_another, lambda ways: ("orchestrated", "") in ways)
