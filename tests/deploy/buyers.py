"""Buyers of a mall of their own on an installation."""

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from cli.check.report import Report
from cli.check.throw_away_mall import SOURCE, ThrowAwayMall
from cli.demo.campaigns import Campaigns
from cli.demo.client import Client
from cli.demo.receiving_mall import Listener, listening
from cli.demo.session import Session, Shop
from embedded.ports import HOST
from tests.deploy.installation import Installation
from tests.deploy.traces import TracedMall

BUYER = re.compile(rb"\b(?:ana|ben|dan|eve|kim|nora|rosa|uma|load-\d+-\d)-[0-9a-f]{6}\b")
"""of the check: ana-3f09c2 and so on; their orders are called check-3f09c2-ana"""


@asynccontextmanager
async def buyers(installed: Installation) -> AsyncIterator[Session]:
    """Buyers of a mall of their own, with a campaign for teams of three."""
    listener = Listener(HOST, HOST)
    async with aiohttp.ClientSession() as http:
        mall = ThrowAwayMall(Client(installed.api_url, http, installed.admin_key), listener)
        await mall.admit(f"test-{secrets.token_hex(3)}")
        receiver = TracedMall(mall.webhook_secret)
        async with listening(listener, receiver):
            await mall.call_back_at(receiver.url)
            shop = Shop(name="test", api_url=installed.api_url, source=SOURCE, mall_key=mall.key, ops_key=installed.admin_key)
            session = Session(shop, receiver, http, Report())
            session.goods_id = await Campaigns(session).create(target_count=3)
            yield session
        await mall.leave()
