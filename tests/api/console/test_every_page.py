"""Every page of the console in a browser: in both languages, light and dark, wide and narrow, with hostile names."""

from dataclasses import dataclass
from typing import Any

import pytest
from playwright.async_api import Browser

from bench.console import PAGES
from console.cookies import BASE
from embedded.demo_data import SOURCE
from embedded.stack import Stack
from tests.api.console.browsing import all_routes, barriers, routes_of, signed_in
from tests.api.console.conftest import HOSTILE, SignIn
from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import Shop, fresh
from tests.api.test_refund_operators import unanswered_question
from tests.browser import needs_chromium

pytestmark = needs_chromium

NO_PAGES = {
    *("/language/{language}", "/sign-in/provider", "/sign-in/provider/back"),
    *(route for route in all_routes("GET") if route.startswith("/changes/")),
    *("/statistics.csv", "/settlements.csv", "/audit.csv", "/exports/{export_id}/file"),
}
WIDE_LIGHT: dict[str, Any] = {"locale": "en-GB"}
NARROW_DARK: dict[str, Any] = {"locale": "zh-CN", "color_scheme": "dark", "viewport": {"width": 390, "height": 800}}


@dataclass(frozen=True)
class Paths:
    pages: list[str]
    acts: list[str]
    """pages of acts; as dialogs, test_every_act.py has them all"""


async def paths_of(shop: Shop, receiver: Receiver, sign_in: SignIn) -> Paths:
    """All of them, after something has happened to everything, and whoever could name a thing has given it a hostile name."""
    ops, audience, mall = shop.ops, fresh("audience"), fresh("m")[:12]
    await sign_in("admin", f"{HOSTILE}{fresh('')}")  # makes a key of this name
    (await ops.put(f"/v1/ops/audiences/{audience}", {"name": HOSTILE})).ok()
    (await ops.put(f"/v1/ops/malls/{mall}", {"name": HOSTILE})).ok()
    offer = await shop.sell(name=HOSTILE)
    goods, campaign = offer.goods_id, f"/campaigns/{offer.campaign_id}"
    (await ops.put(f"/v1/ops/goods/{goods}?confirm=true", {"name": HOSTILE, "original_price": "100.00"})).ok()
    paid, _ = await offer.seats(2)
    await shop.settle(paid)
    (await shop.pay(paid, "79.00")).refused("out_trade_no_reused", 422)  # a conflict, which waits for a person
    team, order = f"/teams/{paid['team_id']}", f"/orders/{paid['order_id']}"
    (await ops.post(f"/v1/ops{team}/extend", {"minutes": 5, "reason": HOSTILE})).ok()
    leaving = (await unanswered_question(shop, receiver))["order_id"]
    event = (await receiver.of_type("order.refund_requested"))[0].event_id
    period = {"source": SOURCE, "since": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:01:00Z"}
    redelivery = (await ops.post("/v1/ops/callbacks/resend", period)).ok(202)["redelivery_id"]
    export = (await ops.post("/v1/ops/exports/teams", {})).ok(202)["export_id"]
    key = (await ops.get("/v1/ops/keys")).ok()["data"][0]["key_id"]

    async def statistics() -> Any:  # noqa: ANN401
        return (await ops.get("/v1/ops/statistics")).ok()["data"]

    await until(statistics, lambda days: len(days) > 0)
    return Paths(
        [
            *("/", "/health", "/attention", "/attention?kind=payment_conflict", "/search?q=nobody", "/settlements", "/audit"),
            *("/teams", team, "/orders", order, f"/orders/{leaving}", "/refunds", "/callbacks", "/callbacks/malls"),
            *(f"/callbacks/{event}", f"/callbacks/resend/{redelivery}", "/exports", f"/exports/{export}"),
            *("/campaigns", campaign, f"{campaign}/edit", f"{campaign}/funnel", "/campaigns/new", "/goods", "/switches"),
            *(f"{campaign}/quote?user_id=ann&sold=s01+c01+{goods}", "/audiences", f"/audiences/{audience}?user_id=ann"),
            *("/malls", f"/malls/{mall}", "/keys", "/sign-in"),
        ],
        [
            *(f"{team}/extend", f"{order}/refund", f"/attention/payment_conflict/{paid['order_id']}/resolve"),
            *(f"/refunds/{leaving}/veto", "/callbacks/resend", f"{campaign}/status/paused", f"{campaign}/ending"),
            *("/goods/new", f"/goods/{goods}", "/audiences/new", f"/audiences/{audience}/rule", "/switches/blocked"),
            *("/malls/new", f"/malls/{mall}/edit", f"/malls/{mall}/secret", "/keys/new", f"/keys/{key}/revoke"),
        ],
    )


def test_the_bench_opens_every_page() -> None:
    assert routes_of("GET", (f"{BASE}/{page}" for page in PAGES)) == all_routes("GET") - NO_PAGES - {"/sign-in"} | {
        "/statistics.csv",
        "/settlements.csv",
    }


LOOK = """[document.documentElement.lang, document.documentElement.scrollWidth <= innerWidth, document.images.length]"""


async def test_every_page(stack: Stack, shop: Shop, receiver: Receiver, sign_in: SignIn, browser: Browser) -> None:
    """It answers, fits the width, and runs nothing that it shows. axe sees half of them in either way, and nothing serious."""
    paths = await paths_of(shop, receiver, sign_in)
    root = stack.addresses.console_url.rstrip("/")
    for turn, (language, context) in enumerate((("en", WIDE_LIGHT), ("zh-CN", NARROW_DARK))):
        async with signed_in(browser, stack, "health", **context) as page:
            page.on("dialog", lambda dialog: pytest.fail(dialog.message))
            for path in (*paths.acts[turn::2], *paths.pages):
                if path == "/sign-in":
                    await page.context.clear_cookies()
                answer = await page.goto(root + path)
                assert answer is not None
                assert answer.status == (404 if path.startswith("/search") else 200), path
                assert await page.evaluate(LOOK) == [language, True, 0], path
                if path in paths.pages[turn::2]:
                    assert (path, await barriers(page)) == (path, [])
    assert routes_of("GET", (*paths.acts, *paths.pages)) == all_routes("GET") - NO_PAGES
