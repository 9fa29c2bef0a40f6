"""Every act of the console, done in a browser: its dialog opens, can be used by everybody, and what it asks for is done."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from playwright.async_api import Browser, Page, expect

from console.cookies import BASE
from embedded.stack import Stack
from tests.api.console.browsing import all_routes, barriers, routes_of, signed_in
from tests.api.console.conftest import HOSTILE
from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import Shop, fresh
from tests.api.test_refund_operators import unanswered_question
from tests.browser import needs_chromium

pytestmark = needs_chromium

ELSEWHERE = {
    *("/sign-in", "/payloads/{direction}"),  # no page of somebody who is signed in sends these
    *("/campaigns/new", "/campaigns/preview", "/audiences/{audience_id}/members"),  # test_browser.py
}
SECRETS = ("whsec_", "gb_ops_")
"""what is shown in the dialog, once"""
PERIOD = {"since": "2026-01-01T00:00:00", "until": "2026-01-02T00:00:00"}
WHY = {"reason": HOSTILE}
EXPORTED = {
    **{kind: f"/{kind}?source=none" for kind in ("orders", "refunds", "teams", "settlements")},
    "statistics": "/",
    "audit": "/audit?subject=none",
}
"""where the button is; each is done before the next one, because a person may have few under way"""


class Act(NamedTuple):
    page: str
    """where the link is that opens the dialog"""
    path: str
    fields: Mapping[str, str] = {}
    result: str = "Done."


async def acts_of(shop: Shop, receiver: Receiver) -> list[Act]:
    """With something for each to be done to."""
    offer, other = await shop.sell(), await shop.sell()
    refunds = await asyncio.gather(*(unanswered_question(shop, receiver) for _ in range(4)))
    completed, closed, refunded, conflict = [await other.seat() for _ in range(4)]
    await shop.settle(completed, conflict)
    (await shop.pay(conflict, "79.00")).refused("out_trade_no_reused", 422)
    goods, audience, mall, key = f"/goods/{offer.goods_id}", fresh("audience"), fresh("m")[:12], fresh("key")
    (await shop.ops.post("/v1/ops/keys", {"name": key, "scopes": ["read"]})).ok(201)
    key_id = next(each["key_id"] for each in (await shop.ops.get("/v1/ops/keys")).ok()["data"] if each["name"] == key)
    (await shop.ops.put(f"/v1/ops/audiences/{audience}", {"name": "Friends"})).ok()
    (await shop.ops.put(f"/v1/ops/malls/{mall}", {"name": "A mall"})).ok()
    team, campaign = f"/teams/{completed['team_id']}", f"/campaigns/{offer.campaign_id}"
    of_refunds = [
        Act(f"/orders/{order['order_id']}", f"/refunds/{order['order_id']}/{act}", {} if act == "resend" else WHY)
        for order, act in zip(refunds, ("resend", "approve", "veto", "close_manually"), strict=True)
    ]
    return [
        Act(team, f"{team}/extend", {"minutes": "30", **WHY}),
        Act(team, f"{team}/complete", WHY),
        Act(f"/teams/{closed['team_id']}", f"/teams/{closed['team_id']}/close", WHY),
        Act(f"/orders/{refunded['order_id']}", f"/orders/{refunded['order_id']}/refund", WHY),
        *of_refunds,
        Act("/attention?kind=payment_conflict", f"/attention/payment_conflict/{conflict['order_id']}/resolve", WHY),
        Act("/callbacks", "/callbacks/resend", {"source": "s01", **PERIOD}, "Events sent again"),
        Act(campaign, f"{campaign}/status/paused"),
        Act(campaign, f"{campaign}/status/draining"),
        Act(campaign, f"{campaign}/status/active"),
        Act(campaign, f"{campaign}/ending", WHY),
        Act("/goods", "/goods/new", {"goods_id": fresh("goods"), "name": HOSTILE, "original_price": "9.00"}),
        Act(f"/goods?after={offer.goods_id[:-1]}", goods, {"name": HOSTILE, "original_price": "100.00"}),
        Act("/audiences", "/audiences/new", {"audience_id": fresh("audience"), "name": HOSTILE}),
        Act(f"/audiences/{audience}", f"/audiences/{audience}/rule", {"min_orders": "1", **PERIOD}),
        Act("/switches", "/switches/blocked", {"value": "s95 c95"}),
        Act("/switches", "/switches/blocked", {"value": ""}),
        Act("/malls", "/malls/new", {"source": fresh("m")[:12], "name": HOSTILE}),
        Act(f"/malls/{mall}", f"/malls/{mall}/edit", {"name": HOSTILE}),
        *[Act(f"/malls/{mall}", f"/malls/{mall}/secret", result=SECRETS[0])] * 2,
        Act("/keys", "/keys/new", {"name": fresh("key")}, SECRETS[1]),
        Act("/keys", f"/keys/{key_id}/revoke"),
    ]


async def do(page: Page, act: Act, root: str) -> None:
    await page.goto(root + act.page)
    await page.locator(f'a.button[href="{BASE}{act.path}"]').click()
    dialog = page.get_by_role("dialog")
    form = dialog.locator("form.act")
    await expect(form).to_be_visible()
    assert (act.path, await barriers(page, "dialog")) == (act.path, [])
    for name, value in act.fields.items():
        await form.locator(f"[name={name}]:not([type=hidden]), [data-name={name}]").fill(value)
    if act.path == "/keys/new":
        await form.get_by_label("read", exact=True).check()
    await form.locator("button").click()
    await expect(page.locator("dialog" if act.result in SECRETS else "main"), act.path).to_contain_text(act.result)


async def press(page: Page, address: str, path: str, result: str) -> None:
    """Presses the button of a form that has no dialog."""
    await page.goto(address)
    form = page.locator(f'form[action^="{BASE}{path}"]')
    if path.endswith("resend_selected"):
        await form.get_by_role("checkbox").first.check()
    await form.locator("button.main, button").last.click()
    await expect(page.locator("main"), path).to_contain_text(result)


async def test_every_act(stack: Stack, shop: Shop, receiver: Receiver, browser: Browser) -> None:
    async def statistics() -> Any:  # noqa: ANN401
        return (await shop.ops.get("/v1/ops/statistics")).ok()["data"]

    await until(statistics, lambda days: len(days) > 0)
    root = stack.addresses.console_url.rstrip("/")
    acts = await acts_of(shop, receiver)
    event = (await receiver.of_type("team.completed"))[0].event_id
    campaign, mall = await shop.sell(), next(act.page for act in acts if act.path.endswith("/secret"))
    posted: list[str] = []
    async with signed_in(browser, stack, "health") as page:
        page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)
        for act in acts:
            await do(page, act, root)
        for address, path, result in (
            *((address, f"/exports/{kind}", f"Export: {kind} done") for kind, address in EXPORTED.items()),
            (f"/callbacks/{event}", f"/callbacks/{event}/resend", "Done."),
            (f"/callbacks?event_id={event}", "/callbacks/resend_selected", "1 / 1"),
            (mall, f"{mall}/drop_secret", "Done."),
            (f"/campaigns/{campaign.campaign_id}/edit", f"/campaigns/{campaign.campaign_id}/edit", "Nothing was changed."),
            ("/health", "/sign-out", "Sign in"),
        ):
            await press(page, root + address, path, result)
    assert routes_of("POST", posted) == all_routes("POST") - ELSEWHERE
