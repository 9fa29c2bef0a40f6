"""How fast the console's pages are with a million orders, and what 200 open pages cost.

`python -m bench.console --stack STACK.json` writes 300,000 completed teams as rows into a running stack and opens its pages.
STACK.json holds the line that `groupbuy up --json` prints. The teams have no workflows: throw the stack away afterwards.
"""

import asyncio
import time
from pathlib import Path

import aiohttp
import asyncpg
import click
import psutil

from bench.driver import RunningStack
from bench.old_teams import seed_old_teams
from bench.report import table
from bench.rounds import percentile

TEAMS = 300_000
REQUESTS = 20
OPEN_PAGES = 200
WATCHED = 20.0

PAGES = (
    *("", "health", "attention", "teams", "teams?status=completed", "teams?status=failed", "teams?campaign_id=100123"),
    *("teams/bench-7", "orders", "orders?status=paid", "orders?status=refunded", "orders?owed=true", "orders?user_id=buyer-77"),
    *("orders?out_trade_no=bench-200000-2", "orders/bench-9-1", "refunds", "refunds?status=requested", "callbacks"),
    *("callbacks?status=delivered", "callbacks?type=team.failed", "callbacks/evt_bench5", "campaigns", "campaigns/100123"),
    *("campaigns/100123/funnel", "campaigns/100123/ending", "audiences", "settlements", "audit", "search?q=bench-200000-2"),
)


async def measure(stack: RunningStack, console_url: str) -> None:
    conn = await asyncpg.connect(stack.database_url)
    await seed_old_teams(conn, TEAMS)
    await conn.close()
    # `unsafe`: cookies of an IP address, too.
    connector, jar = aiohttp.TCPConnector(limit=0), aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as http:
        await http.post(f"{console_url}sign-in", data={"key": stack.ops_key}, allow_redirects=False)
        rows = []
        for page in PAGES:
            times = sorted([await _open(http, console_url + page) for _ in range(REQUESTS)])
            rows.append([f"/{page}", f"{percentile(times, 50):.0f}", f"{percentile(times, 95):.0f}"])
        print(table(["page", "median ms", "p95 ms"], rows))
        print(await _export(stack, http))
        print(await _watch(stack, http, console_url))


async def _export(stack: RunningStack, http: aiohttp.ClientSession) -> str:
    """Returns how long it takes to write and to read a file with all orders, and what the processes need for it."""
    exports, key = f"{stack.api_url}/v1/ops/exports", {"Authorization": f"Bearer {stack.ops_key}"}
    processes = {"API": psutil.Process(stack.pids()["api"]), "worker": psutil.Process(stack.worker_pids[0])}
    before = {name: process.memory_info().rss for name, process in processes.items()}
    most, began = dict(before), time.monotonic()

    def look() -> None:
        most.update({name: max(most[name], process.memory_info().rss) for name, process in processes.items()})

    async with http.post(f"{exports}/orders", headers=key) as answer:
        export = await answer.json()
    while export["status"] == "running":
        await asyncio.sleep(0.5)
        look()
        async with http.get(f"{exports}/{export['export_id']}", headers=key) as answer:
            export = await answer.json()
    written, size = time.monotonic(), 0
    async with http.get(f"{exports}/{export['export_id']}/file", headers=key) as answer:
        async for part in answer.content.iter_any():
            size += len(part)
            look()
    read = time.monotonic()
    grown = ", ".join(f"{name} +{(most[name] - before[name]) / 1e6:.0f} MB" for name in processes)
    return (
        f"export of {export['rows']} orders: {export['status']}, written in {written - began:.0f} s, "
        f"{size / 1e6:.0f} MB read in {read - written:.0f} s; {grown}"
    )


async def _open(http: aiohttp.ClientSession, address: str) -> float:
    began = time.monotonic()
    async with http.get(address) as answer:
        await answer.read()
        assert answer.status == 200, (address, answer.status)
    return 1000 * (time.monotonic() - began)


async def _watch(stack: RunningStack, http: aiohttp.ClientSession, console_url: str) -> str:
    """Returns what the API's process needs without open pages and with them."""
    heard = 0

    async def listen(number: int) -> None:
        nonlocal heard
        async with http.get(f"{console_url}teams/bench-{number}/changes") as stream:
            async for line in stream.content:
                heard += line.startswith(b"data")

    idle = await _cpu(stack)
    pages = [asyncio.create_task(listen(number)) for number in range(1, OPEN_PAGES + 1)]
    await asyncio.sleep(5)
    watched = await _cpu(stack)
    for page in pages:
        page.cancel()
    await asyncio.gather(*pages, return_exceptions=True)
    assert heard == OPEN_PAGES
    return f"the API's process: {idle:.1f} % of a core without open pages, {watched:.1f} % with {OPEN_PAGES} that listen"


async def _cpu(stack: RunningStack) -> float:
    """Returns the CPU of the API's process, in percent of a core."""
    process = psutil.Process(stack.pids()["api"])
    before = process.cpu_times()
    await asyncio.sleep(WATCHED)
    after = process.cpu_times()
    return 100 * (after.user - before.user + after.system - before.system) / WATCHED


@click.command()
@click.option("--stack", "path", type=click.Path(exists=True, path_type=Path), required=True, help="what up --json has printed")
def main(path: Path) -> None:
    """Measure the console's pages on a stack that is thrown away."""
    stack = RunningStack.model_validate_json(path.read_text())
    asyncio.run(measure(stack, f"{stack.api_url}/console/"))


if __name__ == "__main__":
    main()
