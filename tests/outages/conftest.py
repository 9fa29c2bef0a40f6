"""A stack for each test that breaks one. They run one after the other: each of them wants the machine for itself."""

from collections.abc import AsyncIterator

import pytest

from embedded.stack import Stack
from tests.api.caller import Caller, http_session
from tests.api.receiver import Receiver, listening
from tests.api.shop import Shop
from tests.outages.crowd import Crowd
from tests.stack_fixture import running_stack


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    async with running_stack() as running:
        yield running


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
