"""The demo mall's page in a browser, on the stack: buyers who make a team, money that goes back, and the mall's moods."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from embedded.stack import Stack
from tests.api.shop import fresh
from tests.browser import needs_chromium, open_page

pytestmark = needs_chromium

GOODS = "9890001"


class Buyer:
    """A visitor of the page, who buys one thing."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @property
    def order(self) -> Locator:
        return self.page.locator("[data-order]")

    @property
    def card(self) -> Locator:
        return self.page.locator(f'[data-goods="{GOODS}"]')

    def team(self, team_id: str) -> Locator:
        return self.card.locator(f'[data-team="{team_id}"]')

    def tries(self, answer: str) -> Locator:
        """What came for this buyer's team and was answered so."""
        return self.page.locator(f'#log [data-answer^="{answer}"]')

    async def push(self, title: str) -> None:
        await self.page.get_by_role("button", name=title, exact=True).click()

    async def switch(self, mood: str) -> None:
        await self.push(mood)
        await expect(self.page.get_by_role("button", name=mood, exact=True)).to_have_attribute("aria-pressed", "true")

    async def open_team(self) -> str:
        await self.card.get_by_role("button", name="Open a team").click()
        await self.until("locked")
        # From here on the log shows this team alone.
        await self.order.get_by_role("link", name="its team's callbacks").click()
        await self.page.wait_for_url(re.compile("team_id="))
        return self.page.url.rpartition("team_id=")[2]

    async def join(self, team_id: str) -> None:
        await self.team(team_id).get_by_role("button", name="Join").click()
        await self.until("locked")

    async def until(self, status: str) -> None:
        await expect(self.order).to_have_attribute("data-status", status)


@pytest.fixture
async def buyers(browser: Browser, stack: Stack) -> AsyncIterator[list[Buyer]]:
    """Three new ones; the mall is a normal one again when they have left."""
    url = stack.addresses.mall_url
    async with AsyncExitStack() as pages:
        all_three = [
            Buyer(await pages.enter_async_context(open_page(browser, f"{url}/?buyer={fresh('guest')}"))) for _ in range(3)
        ]
        yield all_three
        await all_three[0].switch("normal")


async def test_a_team_of_three_completes_and_one_leaves_it_when_the_mall_agrees(buyers: list[Buyer]) -> None:
    opener, *joiners = buyers
    team_id = await opener.open_team()
    await expect(opener.team(team_id)).to_contain_text("23:59:")
    for joiner in joiners:
        await joiner.join(team_id)
    for buyer in buyers:
        await buyer.push("Pay")
    for buyer in buyers:
        await expect(buyer.order).to_contain_text("ship")
        await expect(buyer.order.get_by_role("img", name="3 paid, 0 unpaid, 0 free")).to_be_visible()
    await expect(opener.tries("200")).to_contain_text(["team.completed"])
    await expect(opener.tries("200")).to_contain_text(["✓ good"])

    await opener.switch("veto")
    await opener.push("Refund")
    await expect(opener.tries("409")).to_contain_text(["order.refund_requested"])
    await expect(opener.order).to_contain_text("refund rejected by the mall")
    await opener.until("paid")
    await expect(opener.order).to_contain_text("ship")

    await opener.switch("normal")
    await opener.push("Refund")
    await opener.until("refunded")
    await expect(opener.order).to_contain_text("80.00 returned to the buyer")
    await expect(joiners[0].order).to_contain_text("team completed with refunds")


async def test_wrong_money_goes_back_when_the_mall_is_up_again(buyers: list[Buyer]) -> None:
    buyer = buyers[0]
    await buyer.open_team()
    await buyer.switch("down")
    await buyer.push("Pay wrong")
    await buyer.until("refunding")
    await expect(buyer.order).to_contain_text("79.00 paid: refunding (amount_mismatch)")
    await expect(buyer.tries("503").nth(1)).to_contain_text("order.refunded")  # it comes again
    await expect(buyer.order).not_to_contain_text("returned")

    await buyer.switch("normal")
    await buyer.until("refunded")
    await expect(buyer.tries("200")).to_contain_text(["order.refunded"])
    await expect(buyer.order).to_contain_text("79.00 returned to the buyer")
    await expect(buyer.order.get_by_role("link", name="its refund's history")).to_have_attribute(
        "href", re.compile("/workflows/refund-")
    )
