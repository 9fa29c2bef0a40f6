"""The API dies between doing and answering: the same request again gets the first answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import asyncpg
import pytest

from embedded.stack import Stack
from tests.api.caller import Answer
from tests.api.polling import until
from tests.api.shop import Json, Shop
from tests.outages.crowd import EVENTUALLY


@asynccontextmanager
async def held(stack: Stack, sql: str, value: object) -> AsyncIterator[asyncpg.Connection]:
    """A row that nobody else can change: whoever wants to is in the middle of his transaction."""
    conn = await asyncpg.connect(stack.addresses.database_url)
    try:
        async with conn.transaction():
            await conn.execute(sql, value)
            yield conn
    finally:
        await conn.close()


async def until_somebody_waits(stack: Stack) -> None:
    conn = await asyncpg.connect(stack.addresses.database_url)
    try:
        sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'groupbuy' AND wait_event_type = 'Lock'"
        await until(lambda: conn.fetchval(sql), bool)
    finally:
        await conn.close()


async def kill_api(stack: Stack) -> None:
    """And wait until it is up again."""
    before = stack.part("api").pid
    stack.kill("api")

    async def pid() -> int | None:
        return stack.part("api").pid

    await until(pid, lambda seen: seen not in {None, before}, EVENTUALLY)


async def until_answered(shop: Shop, path: str, body: Json) -> Answer:
    async def ask() -> Answer | None:
        try:
            answer = await shop.mall.post(path, body)
        except aiohttp.ClientError:
            return None
        return None if answer.status == 503 else answer

    answer = await until(ask, bool, EVENTUALLY)
    assert answer is not None
    return answer


@pytest.mark.parametrize("joins", [False, True], ids=["opener", "joiner"])
async def test_a_seat_taken_while_the_api_died_is_the_answer_to_the_repeat(stack: Stack, shop: Shop, *, joins: bool) -> None:
    offer = await shop.sell(stock=10)
    request = offer.request(team_id=(await offer.seat())["team_id"]) if joins else offer.request()
    async with held(stack, "SELECT FROM campaign_stock WHERE campaign_id = $1 FOR UPDATE", offer.campaign_id):
        asking = asyncio.create_task(shop.mall.post("/v1/orders", request))
        await until_somebody_waits(stack)
        await kill_api(stack)
        with pytest.raises(aiohttp.ClientError):
            await asking
    answer = await until_answered(shop, "/v1/orders", request)
    assert answer.ok(answer.status)["out_trade_no"] == request["out_trade_no"]
    again = await until_answered(shop, "/v1/orders", request)
    assert again.replayed
    assert again.body == answer.body
    listed = (await shop.ops.get("/v1/ops/orders", campaign_id=offer.campaign_id)).ok()["data"]
    assert len(listed) == (2 if joins else 1)
    assert await shop.violations() == []


async def test_a_payment_booked_while_the_api_died_is_the_answer_to_the_repeat(stack: Stack, shop: Shop) -> None:
    offer = await shop.sell(target_count=2)
    opener, joiner = await offer.seats(2)
    await shop.settle(opener)
    async with held(stack, "SELECT FROM orders WHERE order_id = $1 FOR UPDATE", joiner["order_id"]):
        asking = asyncio.create_task(shop.pay(joiner))
        await until_somebody_waits(stack)
        await kill_api(stack)
        with pytest.raises(aiohttp.ClientError):
            await asking
    await shop_is_back(shop)
    await shop.until_team(opener["team_id"], "completed")
    again = await shop.pay(joiner)
    assert again.replayed
    assert (again.body["outcome"], again.body["team"]["complete_count"]) == ("settled", 2)
    assert await shop.violations() == []


async def shop_is_back(shop: Shop) -> None:
    async def ready() -> bool:
        try:
            return (await shop.mall.get("/readyz")).status == 200
        except aiohttp.ClientError:
            return False

    await until(ready, bool, EVENTUALLY)
