"""The original's wire format: what a mall is told, and where."""

import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from embedded.ports import HOST, free_port
from tests.api.legacy.client import OldMall, lock_request
from tests.api.polling import until
from tests.api.shop import Shop


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


async def test_a_completion_is_told_at_notify_url_until_the_mall_says_success(shop: Shop, notified: Notified) -> None:
    mall, offer = OldMall(shop), await shop.sell(target_count=2)
    notify = {"notifyType": "HTTP", "notifyUrl": notified.url}
    opening = lock_request(offer, notifyConfigVO=notify)
    team = (await mall.lock(opening))["teamId"]
    joining = lock_request(offer, notifyConfigVO=notify, teamId=team)
    await mall.lock(joining)
    leaving = lock_request(offer, notifyConfigVO=notify)
    await mall.lock(leaving)
    await mall.settle(leaving)
    assert (await mall.refund(leaving))["code"] == "success"
    for second, asked in enumerate((opening, joining)):
        await mall.settle(asked, outTradeTime=1795514400000 + 1000 * second)

    async def bodies() -> list[object]:
        return notified.bodies

    told = await until(bodies, lambda bodies: len(bodies) == 2)
    body = {"teamId": team, "outTradeNoList": [opening["outTradeNo"], joining["outTradeNo"]]}
    assert told == [body, body], "the refund was not told here: any body means ship"
