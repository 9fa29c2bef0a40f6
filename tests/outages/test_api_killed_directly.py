"""An API process dies after it has admitted somebody directly and before it has answered: the rows answer the repeat.

The process reaches PostgreSQL over a line, which is frozen while its statement waits for a row: the statement is committed, and
nobody hears of it.
"""

from asyncio import create_task, to_thread
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from multiprocessing.context import ForkServerProcess
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import asyncpg
import pytest
from temporalio.client import Client

from embedded.ports import HOST
from embedded.stack import Stack
from tests.api.another_api import api_process
from tests.api.caller import Answer, Caller
from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import Json, Offer, Shop, moment
from tests.api.signals import team_workflow
from tests.line import Line
from tests.outages.crowd import EVENTUALLY
from tests.outages.test_api_killed import held
from tests.paused import paused, processes_of

HOLD_STOCK = "SELECT FROM campaign_stock WHERE campaign_id = $1 FOR UPDATE"
HOLD_TEAM = "SELECT FROM teams WHERE team_id = $1 FOR UPDATE"
WAITS_FOR = "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))"
HAS_ORDER = "SELECT count(*) FROM orders WHERE out_trade_no = $1"
IS_PAID = "SELECT count(*) FROM orders WHERE out_trade_no = $1 AND status = 'paid'"


class DirectApi:
    """Admits all that may go directly, over a line to PostgreSQL."""

    def __init__(self, stack: Stack, caller: Caller, process: ForkServerProcess, line: Line) -> None:
        self.caller = caller
        self._stack = stack
        self._process = process
        self._line = line

    async def dies_unheard(self, hold: str, value: object, call: Awaitable[Answer], committed: str, number: str) -> None:
        """The call is begun, its statement is committed, and the process is killed before anybody is answered."""
        conn = await asyncpg.connect(self._stack.addresses.database_url)
        try:
            async with held(self._stack, hold, value) as holder:
                asking = create_task(_answer(call))
                await until(lambda: conn.fetchval(WAITS_FOR, holder.get_server_pid()), bool)
                self._line.freeze()
            await until(lambda: conn.fetchval(committed, number), bool)
        finally:
            await conn.close()
        self._process.kill()
        await to_thread(self._process.join)
        with pytest.raises(aiohttp.ClientError):
            await asking


async def _answer(call: Awaitable[Answer]) -> Answer:
    return await call


@asynccontextmanager
async def direct_api(stack: Stack, caller: Caller) -> AsyncIterator[DirectApi]:
    url = urlsplit(stack.addresses.database_url)
    assert url.hostname is not None
    assert url.port is not None
    account, at, _ = url.netloc.rpartition("@")
    async with Line(url.hostname, url.port) as line:
        over_line = urlunsplit(url._replace(netloc=f"{account}{at}{HOST}:{line.port}"))
        settings = {"GROUPBUY_DATABASE_URL": over_line, "GROUPBUY_ORCHESTRATED_AT_ONCE": "0"}
        async with api_process(stack, caller, **settings) as (there, process):
            yield DirectApi(stack, there, process, line)


async def wakeup(stack: Stack, team_id: str) -> tuple[int, int] | None:
    """How many locks and payments the team's workflow has to take over."""
    conn = await asyncpg.connect(stack.addresses.database_url)
    try:
        row = await conn.fetchrow("SELECT locks, payments FROM team_wakeups WHERE team_id = $1", team_id)
    finally:
        await conn.close()
    return (row["locks"], row["payments"]) if row else None


@pytest.mark.parametrize("joins", [False, True], ids=["opener", "joiner"])
async def test_a_seat_taken_directly_is_the_answer_to_the_repeat(
    stack: Stack, shop: Shop, receiver: Receiver, *, joins: bool
) -> None:
    offer = await shop.sell(stock=10, lock_ttl=5, payment_grace=0)
    async with direct_api(stack, shop.mall) as direct:
        with paused(processes_of(stack.part("worker-1"))):
            team = {"team_id": await opened(direct.caller, offer)} if joins else {}
            request = offer.request(callback=receiver.callback(), **team)
            call, number = direct.caller.post("/v1/orders", request), request["out_trade_no"]
            await direct.dies_unheard(HOLD_STOCK, offer.campaign_id, call, HAS_ORDER, number)
            again = await shop.mall.post("/v1/orders", request)
            assert again.replayed
            assert await wakeup(stack, again.body["team_id"]) == (1 + joins, 0)
    # The team's workflow knows of the seat: it releases it when its time is over.
    await shop.until_order(again.body, "cancelled")
    await until(lambda: wakeup(stack, again.body["team_id"]), lambda seen: seen is None, EVENTUALLY)
    (cancelled,) = await receiver.of_type("order.cancelled")
    assert cancelled.data["out_trade_no"] == number
    assert await shop.violations() == []


async def opened(api: Caller, offer: Offer) -> str:
    team_id: str = (await api.post("/v1/orders", offer.request())).ok(201)["team_id"]
    return team_id


async def test_a_payment_booked_directly_is_the_answer_to_the_repeat(stack: Stack, shop: Shop, receiver: Receiver) -> None:
    offer = await shop.sell(target_count=2)
    async with direct_api(stack, shop.mall) as direct:
        with paused(processes_of(stack.part("worker-1"))):
            team_id = await opened(direct.caller, offer)
            joining = offer.request(team_id=team_id, callback=receiver.callback())
            joiner = (await direct.caller.post("/v1/orders", joining)).ok(201)
            report: Json = {"amount": joiner["pay_price"], "paid_at": moment()}
            call = direct.caller.post(f"/v1/orders/{joiner['out_trade_no']}/payment", report)
            await direct.dies_unheard(HOLD_TEAM, team_id, call, IS_PAID, joiner["out_trade_no"])
            again = await shop.pay(joiner)
            assert again.replayed
            assert (again.body["outcome"], again.body["team"]["complete_count"]) == ("settled", 1)
            assert await wakeup(stack, team_id) == (2, 1)
    await until(lambda: wakeup(stack, team_id), lambda seen: seen is None, EVENTUALLY)
    temporal = await Client.connect(stack.addresses.temporal_address)
    view = await team_workflow(temporal, team_id).query("view")
    assert view["seats"][joiner["out_trade_no"]]["status"] == "paid"
    assert await shop.violations() == []
