"""The original's page in a browser: of another origin, and of the format's own behind one proxy."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, expect

from embedded.demo_data import CHANNEL, SOURCE
from embedded.ports import HOST, free_port
from embedded.stack import Stack
from tests.api.another_api import another_api
from tests.api.legacy.client import CONFIG, LOCK, UPDATE_CONFIG, OldMall, lock_request
from tests.api.shop import Shop
from tests.browser import PATIENCE_MS, needs_chromium, open_page

pytestmark = needs_chromium

expect.set_options(timeout=PATIENCE_MS)

PAGE = """
<!doctype html><title>A mall</title>
<p id="price"></p><ul id="teams"></ul><p id="error"></p>
<script>
  const market = location.hash ? decodeURIComponent(location.hash.slice(1)) : "";
  const post = (path, body) => fetch(market + path, {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body),
  }).then(answer => answer.json());
  const show = request => post("CONFIG", request).then(({code, info, data}) => {
    if (code !== "0000") throw new Error(info);
    document.getElementById("price").textContent = data.goods.payPrice.toFixed(2);
    for (const team of data.teamList) {
      const item = document.createElement("li");
      item.dataset.team = team.teamId;
      item.textContent = `${team.targetCount - team.lockCount} to go, ${team.validTimeCountdown}`;
      document.getElementById("teams").append(item);
    }
  }).catch(error => { document.getElementById("error").textContent = error; });
</script>
""".replace("CONFIG", CONFIG)


@dataclass(frozen=True)
class Site:
    """A server of the page, which passes `/api/` on as the nginx of the original's deployments does."""

    market: str
    port: int

    @property
    def origin(self) -> str:
        return f"http://{HOST}:{self.port}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_route("*", "/api/{path:.*}", self._pass_on)
        app.router.add_get("/", self._page)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, self.port, reuse_address=True).start()
            yield
        finally:
            await runner.cleanup()

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def _pass_on(self, request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name != "Content-Length"}
        headers |= {"X-Real-IP": str(request.remote), "X-Forwarded-For": str(request.remote), "X-Forwarded-Proto": "http"}
        url, body = f"{self.market}{request.path_qs}", await request.read()
        async with aiohttp.ClientSession() as http, http.request(request.method, url, headers=headers, data=body) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)


@dataclass(frozen=True)
class Sites:
    listed: Site
    unlisted: Site
    mall: OldMall
    """a program that calls the same listener"""


@pytest.fixture(scope="module")
async def sites(stack: Stack, shop: Shop) -> AsyncIterator[Sites]:
    port = free_port()
    market = f"http://{HOST}:{port}"
    listed, unlisted = Site(market, free_port()), Site(market, free_port())
    settings = {
        "GROUPBUY_LEGACY_PORT": str(port),
        "GROUPBUY_LEGACY_ORIGINS": listed.origin,
        "GROUPBUY_LEGACY_DCC_NETWORKS": f"{HOST}/32",
        "GROUPBUY_TRUSTED_PROXIES": f"{HOST}/32",
    }
    async with AsyncExitStack() as parts:
        there = await parts.enter_async_context(another_api(stack, shop.mall, **settings))
        for site in (listed, unlisted):
            await parts.enter_async_context(site.serving())
        yield Sites(listed, unlisted, OldMall(there.elsewhere(market)))


async def show(page: Page, goods_id: str) -> None:
    request = {"userId": "visitor", "source": SOURCE, "channel": CHANNEL, "goodsId": goods_id}
    await page.evaluate("request => show(request)", request)


@pytest.mark.parametrize("shares_origin", [False, True])
async def test_a_page_shows_prices_and_teams_and_cannot_lock(
    browser: Browser, sites: Sites, shop: Shop, shares_origin: bool
) -> None:
    offer = await shop.sell("99.90")
    team_id = (await sites.mall.lock(lock_request(offer)))["teamId"]
    async with open_page(browser, f"{sites.listed.origin}/#{'' if shares_origin else sites.mall.url}") as page:
        await show(page, offer.goods_id)
        await expect(page.locator("#price")).to_have_text("79.90")
        await expect(page.locator(f'[data-team="{team_id}"]')).to_contain_text("2 to go, 23:59:")
        await expect(page.locator("#error")).to_be_empty()
        own = lock_request(offer)
        outcome = "([path, body]) => post(path, body).then(answer => answer.code, error => error.name)"
        assert await page.evaluate(outcome, [LOCK, own]) == ("forbidden" if shares_origin else "TypeError")
    (await shop.mall.get(f"/v1/orders/{own['outTradeNo']}")).refused("order_not_found", 404)


@pytest.mark.parametrize("shares_origin", [False, True])
async def test_a_page_that_is_not_listed_sees_nothing(browser: Browser, sites: Sites, shop: Shop, shares_origin: bool) -> None:
    offer = await shop.sell()
    async with open_page(browser, f"{sites.unlisted.origin}/#{'' if shares_origin else sites.mall.url}") as page:
        await show(page, offer.goods_id)
        await expect(page.locator("#error")).not_to_be_empty()
        await expect(page.locator("#price")).to_be_empty()


async def test_a_page_cannot_make_its_browser_turn_a_switch(browser: Browser, sites: Sites, shop: Shop) -> None:
    turn = f"{UPDATE_CONFIG}?key=downgradeSwitch&value=1"
    port = sites.mall.url.rpartition(":")[2]
    async with open_page(browser, sites.unlisted.origin) as page:
        # Browsers take every name below localhost for this machine, as if its owner had made it resolve so.
        for target in (f"http://rebound.localhost:{port}", sites.mall.url):
            async with page.expect_navigation(url=f"{target}/**") as navigation:
                await page.evaluate("url => { location.href = url }", target + turn)
            answer = await navigation.value
            assert answer is not None
            assert answer.status == 403, target
            await page.goto(sites.unlisted.origin)
    assert (await shop.ops.get("/v1/ops/switches/suspended")).ok()["value"] is False
