"""Takes the pictures of the README (a completed team's history in the Temporal UI, the demo mall) and of docs/console.md.

    .venv/bin/groupbuy up --data-dir /tmp/groupbuy-pictures        # in another terminal, on a new directory
    .venv/bin/python docs/pictures/take.py --data-dir /tmp/groupbuy-pictures

Starts no server. Plays the teams to be seen on the running stack, waits up to ten minutes until they are in the statistics,
and writes the pictures beside this file. Needs Chromium and a font with Chinese (apt-get install chromium fonts-noto-cjk).
"""

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import click
from playwright.async_api import Browser, Page, async_playwright
from temporalio.client import Client

from bench.api_client import TEAM_SIZE, ApiClient, Json
from embedded.addresses import Addresses, running_stack
from embedded.data_dir import DEFAULT_DATA_DIR

HERE = Path(__file__).parent
MAX_BYTES = 250_000
PAUSE = 1.0
"""seconds between two steps, which keeps them apart in the timeline"""
REFUND_WINDOW = 3
BUYERS = ("ann", "bob", "cem")

UI_VIEWPORT = {"width": 1536, "height": 1100}
UI_NAVIGATION = {"x": 256, "y": 48}
"""size of the UI's own navigation, which is cut off"""
CONSOLE_VIEWPORT = {"width": 1280, "height": 800}
OVERVIEW_HEIGHT = 1350
"""with its first charts"""
MALL_VIEWPORT = {"width": 1160, "height": 1290}


async def play_team(addresses: Addresses) -> str:
    """Plays a team to the end of its refund window, in a campaign of its own; returns the URL of its history."""
    mall = ApiClient(addresses.api_url, addresses.mall_key)
    ops = ApiClient(addresses.api_url, addresses.ops_key)
    offer = await ops.create_campaign("tea-set", TEAM_SIZE, refund_window=REFUND_WINDOW)
    orders: list[Json] = []
    for buyer in BUYERS:
        team_id = orders[0]["team_id"] if orders else None
        orders.append(await mall.lock(f"{buyer}-{time.time():.0f}", offer, team_id))
        await asyncio.sleep(PAUSE)
    for order in orders:
        await mall.pay(order)
        await asyncio.sleep(PAUSE)
    workflow = orders[0]["workflow"]
    client = await Client.connect(addresses.temporal_address)
    await client.get_workflow_handle(workflow["id"]).result()
    return str(workflow["url"])


async def play_mall(mall_url: str) -> None:
    """Buys through the demo mall's page: a completed team, a refund, and teams that can be joined."""
    mall = ApiClient(mall_url, "")

    async def buy(buyer: str, goods_id: str, team_of: str | None = None) -> str:
        body = {"buyer": buyer, "goods_id": goods_id}
        if team_of is not None:
            body["team_id"] = (await mall.get(f"/shop?buyer={team_of}"))["orders"][0]["order"]["team_id"]
        return str((await mall.post("/shop/orders", body))["out_trade_no"])

    async def pay(out_trade_no: str) -> None:
        await mall.post(f"/shop/orders/{out_trade_no}/payment", {"how": "now"})

    orders = [await buy("ann", "9890001"), *[await buy(buyer, "9890001", "ann") for buyer in BUYERS[1:]]]
    for order in orders:
        await pay(order)
    await pay(await buy("dora", "9890001"))
    await pay(await buy("emil", "9890002"))
    await buy("faye", "9890002", "emil")
    await buy("dora", "9890003")
    await pay(await buy("ann", "9890002"))
    await asyncio.sleep(PAUSE)
    await mall.post(f"/shop/orders/{orders[2]}/refund", {})
    await asyncio.sleep(PAUSE)


async def take_history(browser: Browser, url: str) -> None:
    page = await browser.new_page(viewport=UI_VIEWPORT)  # type: ignore[arg-type]
    await page.goto(url)
    await page.get_by_role("button", name="Descending").click()  # the first event at the top
    rows = page.locator("#event-history-timeline-graph li")
    await rows.first.wait_for()
    await page.locator(".cm-foldGutter span[title]:visible").first.click()  # the input takes one line then
    await asyncio.sleep(PAUSE)  # the timeline is drawn in steps
    bottom = await rows.evaluate_all("rows => Math.max(...rows.map(row => row.getBoundingClientRect().bottom))")
    size = {"width": UI_VIEWPORT["width"] - UI_NAVIGATION["x"], "height": bottom + 20 - UI_NAVIGATION["y"]}
    await page.screenshot(path=HERE / "team-history.png", clip=UI_NAVIGATION | size)  # type: ignore[arg-type]


async def take_mall(browser: Browser, url: str) -> None:
    page = await browser.new_page(viewport=MALL_VIEWPORT)  # type: ignore[arg-type]
    await page.goto(f"{url}/?buyer=ann")
    await page.locator("#log tbody tr").first.wait_for()
    await page.screenshot(path=HERE / "demo-mall.png")


async def take_console(browser: Browser, addresses: Addresses) -> None:
    """The pages of a team that forms with a paid member, its end in a dialog, and what surrounds it; one in Chinese, dark."""
    ops = ApiClient(addresses.api_url, addresses.ops_key)
    forming = (await ops.get("/v1/ops/teams?status=forming&goods_id=9890002"))["data"][0]["team_id"]
    refund = (await ops.get("/v1/ops/refunds?kind=paid_formed"))["data"][0]["order_id"]
    while not any(day["teams_opened"] for day in (await ops.get("/v1/ops/statistics"))["data"]):  # noqa: ASYNC110
        await asyncio.sleep(PAUSE)
    page = await sign_in(browser, addresses, locale="en-GB")
    for name, path in (
        ("overview", ""),
        ("team", f"teams/{forming}"),
        ("order", f"orders/{refund}"),
        ("campaign", "campaigns/new?copy=100123"),
    ):
        await page.goto(addresses.console_url + path)
        await page.wait_for_load_state("networkidle")
        if name == "campaign":
            await page.get_by_label("Sample buyer").fill("ann")
            await page.locator("#preview .rules").wait_for()
        await page.set_viewport_size(CONSOLE_VIEWPORT | ({"height": OVERVIEW_HEIGHT} if name == "overview" else {}))  # type: ignore[arg-type]
        await page.screenshot(path=HERE / f"console-{name}.png")
    await page.goto(f"{addresses.console_url}teams/{forming}")
    await page.get_by_role("link", name="Close and refund").click()
    await page.get_by_role("dialog").get_by_label("Reason").fill("The goods are sold out")
    await page.screenshot(path=HERE / "console-close.png")
    page = await sign_in(browser, addresses, locale="zh-CN", color_scheme="dark")
    await page.goto(f"{addresses.console_url}teams")
    await page.screenshot(path=HERE / "console-teams.png")


async def sign_in(browser: Browser, addresses: Addresses, **options: Any) -> Page:  # noqa: ANN401 - what a context takes
    page = await browser.new_page(viewport=CONSOLE_VIEWPORT, **options)  # type: ignore[arg-type]
    await page.goto(addresses.console_url)
    await page.locator("input[name=key]").fill(addresses.ops_key)
    await page.locator("button.main").click()
    await page.wait_for_url(addresses.console_url)
    return page


async def take(addresses: Addresses) -> None:
    history_url = await play_team(addresses)
    await play_mall(addresses.mall_url)
    async with async_playwright() as playwright:
        # Root has no sandbox; only pages of this machine are opened.
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        await take_history(browser, history_url)
        await take_mall(browser, addresses.mall_url)
        await take_console(browser, addresses)
        await browser.close()
    for picture in HERE.glob("*.png"):
        size = picture.stat().st_size
        click.echo(f"{picture}: {size / 1000:.0f} kB")
        if size > MAX_BYTES:
            raise click.ClickException(f"{picture.name} has more than {MAX_BYTES / 1000:.0f} kB")


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), default=DEFAULT_DATA_DIR, show_default=True, help="of the stack")
def main(data_dir: Path) -> None:
    """Take the pictures of the README and of docs/console.md."""
    addresses = running_stack(data_dir)
    if addresses is None:
        raise click.ClickException(f"no stack runs on {data_dir}")
    asyncio.run(take(addresses))


if __name__ == "__main__":
    main()
