"""The console in a browser: dialogs, filters, live pages, the upload; and without scripts."""

import re
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, expect

from console.statistics_charts import CHARTS
from embedded.stack import Stack
from tests.api.console.browsing import signed_in
from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import Shop, fresh, moment_of
from tests.browser import PATIENCE_MS, needs_chromium

pytestmark = needs_chromium


async def test_a_team_is_closed_in_a_dialog(stack: Stack, shop: Shop, browser: Browser) -> None:
    offer = await shop.sell()
    paid, _ = await offer.seats(2)
    await shop.settle(paid)
    async with signed_in(browser, stack, f"teams?campaign_id={offer.campaign_id}") as page:
        await page.get_by_role("link", name=paid["team_id"]).click()
        await expect(page.locator("h1")).to_contain_text(paid["team_id"])
        await expect(page.locator(".seats")).to_contain_text("1 paid and 1 unpaid of 3 seats")
        # Times are those of the viewer's zone, with UTC beside.
        opened = page.locator(".timeline time").first
        assert "UTC" in (await opened.get_attribute("title") or "")
        await expect(opened).not_to_contain_text("UTC")

        await page.get_by_role("link", name="Close and refund").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("Paid members who are refunded: 1, together ¥80.00")
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()

        await page.get_by_role("link", name="Close and refund").click()
        # Somebody pays meanwhile: what would happen is told again.
        await shop.settle(await offer.seat(team_id=paid["team_id"]))
        await dialog.get_by_label("Reason").fill("sold out")
        await dialog.get_by_role("button", name="Close and refund").click()
        await expect(dialog).to_contain_text("has changed since you opened this")
        await expect(dialog).to_contain_text("Paid members who are refunded: 2, together ¥160.00")
        await dialog.get_by_label("Reason").fill("sold out")
        await dialog.get_by_role("button", name="Close and refund").click()
        await expect(page.locator(".toast")).to_contain_text("Done.")
        await expect(page.locator(".timeline")).to_contain_text("sold out")


async def test_of_two_operators_at_once_the_second_is_told_what_has_changed(stack: Stack, shop: Shop, browser: Browser) -> None:
    order = await (offer := await shop.sell()).seat()
    name = fresh("ann")
    keys = [await shop.ops.post("/v1/ops/keys", {"name": each, "scopes": ["ops"]}) for each in (name, fresh("bob"))]
    first, second = (signed_in(browser, stack, "health", key=key.ok(201)["key"]) for key in keys)
    async with first as ann, second as bob:
        for path, act, other_act, told in (
            (f"teams/{order['team_id']}", "Close and refund", "Complete", "not forming any more, so nothing would change"),
            (f"campaigns/{offer.campaign_id}", "Pause", "Drain", f"Changed by {name}"),
        ):
            for page, link in ((ann, act), (bob, other_act)):
                await page.goto(stack.addresses.console_url + path)
                await page.get_by_role("link", name=link, exact=True).click()
                await expect(page.get_by_role("dialog").locator("form")).to_be_visible()
                for reason in await page.get_by_role("dialog").get_by_label("Reason").all():
                    await reason.fill("because")
            for page, button in ((ann, act), (bob, other_act)):
                await page.get_by_role("dialog").get_by_role("button", name=button, exact=True).click()
                if page is ann:
                    await expect(page.locator(".toast.good")).to_contain_text("Done.")
            await expect(bob.get_by_role("dialog")).to_contain_text("has changed since you opened")
            await expect(bob.get_by_role("dialog")).to_contain_text(told)
        await expect(bob.get_by_role("dialog")).to_contain_text("active → paused")


async def test_filters_change_the_address_and_the_list(stack: Stack, shop: Shop, browser: Browser) -> None:
    offer = await shop.sell()
    order = await offer.seat()
    async with signed_in(browser, stack, f"orders?campaign_id={offer.campaign_id}") as page:
        await expect(page.locator("tbody tr")).to_have_count(1)
        await page.get_by_label("Status").select_option("paid")
        await expect(page.locator(".empty")).to_contain_text("No order fits")
        await expect(page).to_have_url(re.compile("status=paid"))
        await page.get_by_label("Status").select_option("locked")
        await expect(page.get_by_role("link", name=order["out_trade_no"])).to_be_visible()
        # The list follows: it says that it has changed, and stays as it is until it is asked.
        joined = await offer.seat(team_id=order["team_id"])
        await expect(page.get_by_text("This list has changed.")).to_be_visible()
        await expect(page.locator("tbody tr")).to_have_count(1)
        await page.get_by_role("link", name="Show it as it is now").click()
        await expect(page.get_by_role("link", name=joined["out_trade_no"])).to_be_visible()
        await expect(page.get_by_text("This list has changed.")).to_be_hidden()
        await page.reload()
        await expect(page.get_by_label("Status")).to_have_value("locked")


async def test_a_period_is_that_of_the_viewers_zone_and_kept_in_the_address(
    stack: Stack, shop: Shop, receiver: Receiver, browser: Browser
) -> None:
    order = await (await shop.sell()).seat(callback=receiver.callback())
    await shop.refund(order)
    event = (await receiver.of_type("order.cancelled"))[0].event_id
    async with signed_in(browser, stack, f"callbacks?event_id={event}", timezone_id="Asia/Shanghai") as page:
        row = page.locator("#list tbody tr")
        await expect(row).to_have_count(1)
        await page.get_by_label("Before").fill("2020-01-01T08:00")
        await expect(page.locator("#list .empty")).to_contain_text("No callback fits")
        await expect(page).to_have_url(re.compile("until=2020-01-01T00%3A00"))
        await page.reload()
        await expect(page.get_by_label("Before")).to_have_value(re.compile("^2020-01-01T08:00"))
        await page.get_by_label("Before").fill("")
        await page.get_by_label("From").fill("2020-01-01T08:00")
        await expect(row).to_have_count(1)
        await expect(page).to_have_url(re.compile("since=2020-01-01T00%3A00"))


async def test_an_open_page_follows_what_happens(stack: Stack, shop: Shop, browser: Browser) -> None:
    order = await (await shop.sell()).seat()
    async with signed_in(browser, stack) as page:
        await page.keyboard.press("/")
        await page.keyboard.type(order["team_id"])
        await page.keyboard.press("Enter")
        await expect(page.locator(".seats")).to_contain_text("0 paid and 1 unpaid")
        await shop.settle(order)
        await expect(page.locator(".seats")).to_contain_text("1 paid and 0 unpaid")


async def test_a_campaigns_form_shows_its_price_while_it_is_filled_in(stack: Stack, shop: Shop, browser: Browser) -> None:
    offer = await shop.sell()
    began = (await shop.ops.get(f"/v1/ops/campaigns/{offer.campaign_id}")).ok()
    path = f"campaigns/new?copy={offer.campaign_id}"
    async with signed_in(browser, stack, path, timezone_id="Asia/Shanghai") as page:
        await expect(page.locator("#preview")).to_contain_text("¥80.00")
        await page.locator("input[name='discount.expr']").fill("35.5")
        await expect(page.locator("#preview")).to_contain_text("¥64.50")
        await page.get_by_label("Sample buyer").fill("ann")
        await expect(page.locator("#preview .rules .bad")).to_contain_text("campaign_inactive")  # it is a draft
        await expect(page.locator("#preview .rules .good")).to_have_count(7)
        await page.locator("input[name='discount.expr']").fill("much")
        await expect(page.locator("#preview")).to_contain_text("discount")
        await page.locator("input[name='discount.expr']").fill("10")
        await page.get_by_label("Ends at (Asia/Shanghai)").fill("2099-01-01T08:30")
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("h1")).to_contain_text("draft")
        copy = (await shop.ops.get(f"/v1/ops/campaigns/{page.url.rpartition('/')[2]}")).ok()
        assert copy["ends_at"] == "2099-01-01T00:30:00Z"
        assert moment_of(copy["starts_at"]) == moment_of(began["starts_at"]).replace(microsecond=0)
        await page.get_by_role("link", name="Activate").click()
        await page.get_by_role("dialog").get_by_role("button", name="Activate").click()
        await expect(page.locator("[role=alert]")).to_contain_text("campaign_conflict")


async def test_a_file_replaces_the_members_of_an_audience(stack: Stack, browser: Browser, tmp_path: Path) -> None:
    audience_id, members = fresh("audience"), tmp_path / "members.csv"
    members.write_text("user_id\n" + "".join(f"user-{n}\n" for n in range(5000)) + "<b>\n")
    async with signed_in(browser, stack, "audiences") as page:
        await page.get_by_role("link", name="New audience").click()
        dialog = page.get_by_role("dialog")
        await dialog.locator("input[name=audience_id]").fill(audience_id)
        await dialog.locator("input[name=name]").fill("人群 <b>")
        await dialog.get_by_role("button", name="Create").click()
        await expect(page.locator("main h1")).to_contain_text("人群 <b>")
        await page.get_by_label("File").set_input_files(members)
        await page.get_by_role("button", name="Upload").click()
        await expect(page.locator(".facts").first).to_contain_text("5,000")
        await expect(page.locator("main")).to_contain_text("5002:")


async def test_the_console_works_without_scripts_on_a_phone_in_chinese(stack: Stack, shop: Shop, browser: Browser) -> None:
    offer = await shop.sell()
    order = await offer.seat()
    context = await browser.new_context(
        java_script_enabled=False, locale="zh-CN", color_scheme="dark", viewport={"width": 390, "height": 800}
    )
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    await page.goto(f"{stack.addresses.console_url}orders/{order['order_id']}")
    await page.get_by_label("密钥").fill(stack.addresses.ops_key)
    await page.get_by_role("button", name="登录").click()
    await page.get_by_role("link", name="退款", exact=True).last.click()
    await expect(page.locator(".consequence")).to_contain_text("席位释放")
    await page.get_by_label("原因").fill("买家要求")
    await page.get_by_role("button", name="退款").click()
    await expect(page.locator(".toast")).to_contain_text("已完成")
    await expect(page.locator("h1")).to_contain_text("已取消")
    await context.close()


async def test_the_overview_draws_its_charts(stack: Stack, shop: Shop, browser: Browser) -> None:
    async def look() -> Any:  # noqa: ANN401
        return (await shop.ops.get("/v1/ops/statistics")).ok()["data"]

    await until(look, lambda days: len(days) > 0)
    async with signed_in(browser, stack) as page:
        await expect(page.locator(".chart canvas")).to_have_count(len(CHARTS))
        await page.get_by_label("Mall").fill("nobody")
        await page.get_by_role("button", name="Filter").click()
        await expect(page.locator("#list .empty")).to_be_visible()
        await page.get_by_label("Mall").fill("")
        await page.get_by_role("button", name="Filter").click()
        await expect(page.locator(".chart canvas")).to_have_count(len(CHARTS))
