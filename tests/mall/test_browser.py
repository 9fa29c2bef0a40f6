"""The page in a browser, without a platform: data is shown as text and never interpreted as HTML."""

from playwright.async_api import Browser, expect

from tests.browser import needs_chromium, open_page
from tests.mall.conftest import Mall, event

pytestmark = needs_chromium

HOSTILE = '"><img src=x onerror="document.title=\'hacked\'"><script>document.title="hacked"</script>'


async def test_hostile_data_stays_text_and_an_absent_platform_is_reported(mall: Mall, browser: Browser) -> None:
    await mall.send("evt_1", event(HOSTILE, 1, team_id=HOSTILE, out_trade_no=HOSTILE))
    await mall.send("evt_2", event("order.cancelled", 2, team_id="t2", out_trade_no=HOSTILE))
    async with open_page(browser, f"{mall.url}/") as page:
        await expect(page.locator("#log tbody tr")).to_contain_text(["order.cancelled", HOSTILE])
        await expect(page.locator("#to-do tbody tr")).to_contain_text([HOSTILE])
        await expect(page.locator("#goods")).to_contain_text("does not answer")
        await expect(page.locator("#orders")).to_contain_text("does not answer")
        assert await page.locator("main img, main script").count() == 0

        # The buyer is part of the address; an invalid name is ignored.
        await page.goto(f"{mall.url}/?buyer={HOSTILE}&team_id=t2")
        await expect(page.locator("#whose")).to_have_text("Ann's")
        await expect(page.locator("#log tbody tr")).to_have_count(1)
        await expect(page.locator("#scope code")).to_have_text("t2")
        await page.select_option("#buyer", "bob")
        await expect(page.locator("#whose")).to_have_text("Bob's")
        assert await page.title() == "Demo mall: Bob"
