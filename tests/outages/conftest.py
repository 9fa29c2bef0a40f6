"""A stack that is broken by one test after the other, and is whole again in between."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from embedded import supervisor
from embedded.stack import Stack
from tests.api.caller import Caller, http_session
from tests.api.polling import until
from tests.api.receiver import Receiver, listening
from tests.api.shop import Shop
from tests.outages.crowd import EVENTUALLY, Crowd
from tests.stack_fixture import running_stack

PARTS = ("postgres", "temporal", "worker-1", "mall", "api")


@pytest.fixture(scope="package")
async def stack() -> AsyncIterator[Stack]:
    with pytest.MonkeyPatch.context() as patch:
        # What dies often is restarted ever later: here it dies by intention, and no test waits for the deaths of the last one.
        patch.setattr(supervisor, "LAST_RESTART_AFTER", 1.0)
        async with running_stack() as running:
            yield running


@pytest.fixture(autouse=True)
async def everything_runs(stack: Stack, shop: Shop) -> AsyncIterator[None]:
    yield

    async def is_whole() -> bool:
        try:
            return all(stack.part(name).pid for name in PARTS) and (await shop.mall.get("/readyz")).status == 200
        except aiohttp.ClientError:
            return False

    await until(is_whole, bool, EVENTUALLY)


@pytest.fixture
async def shop(stack: Stack) -> AsyncIterator[Shop]:
    addresses = stack.addresses
    async with http_session() as http:
        mall, ops = (Caller(http, addresses.api_url, key) for key in (addresses.mall_key, addresses.ops_key))
        yield Shop(mall, ops, other_mall=mall.with_key(None))


@pytest.fixture
async def receiver(stack: Stack) -> AsyncIterator[Receiver]:
    async with listening(stack.addresses.webhook_secret) as receiver:
        yield receiver


@pytest.fixture
async def crowd(shop: Shop, receiver: Receiver) -> AsyncIterator[Crowd]:
    async with Crowd(shop, await shop.sell(take_limit=2), receiver) as crowd:
        yield crowd
