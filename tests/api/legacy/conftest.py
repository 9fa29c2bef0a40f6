import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from embedded.ports import HOST, free_port
from embedded.stack import Stack
from tests.api.legacy.client import OldMall
from tests.api.shop import Shop


@pytest.fixture
def mall(stack: Stack, shop: Shop) -> OldMall:
    return OldMall(shop.mall.elsewhere(stack.addresses.legacy_url))


class Notified:
    """A mall's group_buy_notify."""

    def __init__(self) -> None:
        self.url = f"http://{HOST}:{free_port()}/api/v1/alipay/group_buy_notify"
        self.bodies: list[object] = []

    async def receive(self, request: web.Request) -> web.Response:
        self.bodies.append(json.loads(await request.text()))
        return web.Response(text="error" if len(self.bodies) == 1 else "success")


@pytest.fixture
async def notified() -> AsyncIterator[Notified]:
    notified = Notified()
    app = web.Application()
    app.router.add_post("/{path:.*}", notified.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, int(notified.url.split(":")[2].split("/")[0]), reuse_address=True).start()
    yield notified
    await runner.cleanup()
