"""How fast the console's pages are with a million orders, and what 200 open pages cost trade.

`python -m bench.console --stack STACK.json` writes 300,000 completed teams as rows into a running stack and opens its pages.
STACK.json holds the line that `groupbuy up --json` prints. The teams have no workflows: throw the stack away afterwards.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import click
import psutil
from temporalio.client import Client

from bench.driver import WARM_UP_TEAMS, Driver, RunningStack, until_workflow_closed
from bench.old_teams import seed_old_teams
from bench.processes import Meter
from bench.report import table
from bench.rounds import percentile
from bench.team_load import teams_summary
from bench.team_plays import team_play
from workflows.client import data_converter_of

TEAMS = 300_000
REQUESTS = 20
OPEN_PAGES = 200
LISTEN_WITHIN = 5.0
CALLERS, ROUNDS, TRADED_TEAMS = 4, 3, 100

PAGES = (
    *("", "statistics.csv", "health", "attention", "attention?kind=refund", "search?q=bench-9-2", "search?q=buyer-8"),
    *("audit", "audit?since=2026-01-01T00:00", "teams", "teams?status=completed", "teams?status=failed"),
    *("teams?campaign_id=100123", "teams?goods_id=9890001", "teams?attention=true", "teams?due_within=3600", "teams/bench-7"),
    *("teams?campaign_id=100123&attention=true", "teams?campaign_id=100123&status=forming", "teams/bench-7/close"),
    *("orders", "orders?status=paid", "orders?status=refunded", "orders?owed=true", "orders?user_id=buyer-8"),
    *("orders?campaign_id=100123", "orders?team_id=bench-7", "orders?out_trade_no=bench-9-2", "orders/bench-9-1"),
    *("orders/bench-9-1/refund", "refunds", "refunds?status=requested", "refunds?kind=unpaid", "refunds/bench-9-1/resend"),
    *("callbacks", "callbacks?status=delivered", "callbacks?type=team.failed", "callbacks?source=s01", "callbacks/malls"),
    *("callbacks?until={month_ago}", "callbacks?source=s01&until={month_ago}", "callbacks?since={month_ago}&status=delivered"),
    *("goods?source=s01", "goods?goods_id=9890001"),
    *("callbacks/evt_bench5", "callbacks/resend", "callbacks/resend/{redelivery}", "attention/callback/evt_bench5/resolve"),
    *("settlements", "settlements?source=s01", "settlements.csv", "exports", "exports/{export}"),
    *("campaigns", "campaigns?status=paused", "campaigns?source=s01&goods_id=9890001", "campaigns/new", "campaigns/100123"),
    *("campaigns/100123/edit", "campaigns/100123/funnel", "campaigns/100123/status/paused", "campaigns/100123/ending"),
    *("campaigns/100123/quote?user_id=ann&sold=s01+c01+9890001", "goods", "goods/new", "goods/9890001"),
    *("audiences", "audiences/new", "audiences/{audience}?user_id=ann", "audiences/{audience}/rule"),
    *("switches", "switches/rollout", "malls", "malls/new", "malls/s01", "malls/s01/edit", "malls/s01/secret"),
    *("keys", "keys/new", "keys/{key}/revoke"),
)
"""all that there are; what is in braces is made for the measurement"""
WATCHED = (
    *("teams?seen=1", "team/bench-1", "orders?seen=1", "team/bench-2", "orders?status=paid&seen=1", "team/bench-3"),
    *("teams?status=forming&seen=1", "team/bench-4", "callbacks?seen=1", "team/bench-5", "attention?seen=1", "team/bench-6"),
)


async def measure(stack: RunningStack, console_url: str, teams: int) -> None:
    conn = await asyncpg.connect(stack.database_url)
    await seed_old_teams(conn, teams)
    await conn.close()
    # `unsafe`: cookies of an IP address, too.
    connector, jar = aiohttp.TCPConnector(limit=0), aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as http:
        await http.post(f"{console_url}sign-in", data={"key": stack.ops_key}, allow_redirects=False)
        made, rows = await _make(stack, http), []
        for page in PAGES:
            times = sorted([await _open(http, console_url + page.format(**made)) for _ in range(REQUESTS)])
            rows.append([f"/{page}", f"{percentile(times, 50):.0f}", f"{percentile(times, 95):.0f}"])
        print(table(["page", "median ms", "p95 ms"], rows))
        print(await _export(stack, http))
        print(await _beside_trade(stack, http, console_url))


async def _make(stack: RunningStack, http: aiohttp.ClientSession) -> dict[str, str]:
    """Makes what a page shows that the old teams have not; returns the ids."""
    audience = "bench"

    async def call(method: str, path: str, body: Mapping[str, object]) -> Any:  # noqa: ANN401 - any JSON
        headers = {"Authorization": f"Bearer {stack.ops_key}"}
        async with http.request(method, f"{stack.api_url}/v1/ops/{path}", headers=headers, json=body) as answer:
            assert answer.ok, (path, answer.status)
            return await answer.json()

    await call("PUT", f"audiences/{audience}", {"name": "For the benchmark"})
    period = {"source": "s01", "since": "2020-01-01T00:00:00Z", "until": "2020-01-01T00:01:00Z"}
    return {
        "audience": audience,
        "month_ago": f"{datetime.now(UTC) - timedelta(days=30):%Y-%m-%dT%H:%M}",
        "redelivery": str((await call("POST", "callbacks/resend", period))["redelivery_id"]),
        "export": (await call("POST", "exports/orders?team_id=bench-7", {}))["export_id"],
        "key": (await call("POST", "keys", {"name": "For the benchmark", "scopes": ["read"]}))["key_id"],
    }


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


async def _beside_trade(stack: RunningStack, http: aiohttp.ClientSession, console_url: str) -> str:
    """Returns what trade is like by itself and beside open pages, in turns: half of them are of teams, half are lists."""
    temporal = await Client.connect(stack.temporal_address, data_converter=data_converter_of(os.environ))
    driver = Driver(Meter(stack.pids()), CALLERS, until_workflow_closed(temporal))
    addresses = [f"{console_url}changes/{path}" for path in islice(cycle(WATCHED), OPEN_PAGES)]
    measured = []
    async with team_play(stack) as (play, check_callbacks):
        await driver.measure("warm-up", play, WARM_UP_TEAMS)
        for _ in range(ROUNDS):
            measured.append(await driver.measure("no page", play, TRADED_TEAMS))
            async with _open_pages(http, addresses) as heard:
                measured.append(await driver.measure(f"{OPEN_PAGES} pages", play, TRADED_TEAMS))
        check_callbacks()
    return f"{teams_summary(measured)}\nthe {OPEN_PAGES} pages were told {heard.total()} times of changes in the last round"


@asynccontextmanager
async def _open_pages(http: aiohttp.ClientSession, addresses: list[str]) -> AsyncIterator[Counter[str]]:
    """Listens as open pages do; counts what they are told."""
    heard: Counter[str] = Counter()

    async def listen(address: str) -> None:
        async with http.get(address) as stream:
            assert stream.status == 200, (address, stream.status)
            async for line in stream.content:
                heard[address] += line.startswith(b"data")

    pages = [asyncio.create_task(listen(address)) for address in addresses]
    try:
        await asyncio.sleep(LISTEN_WITHIN)
        yield heard
    finally:
        for page in pages:
            page.cancel()
        await asyncio.gather(*pages, return_exceptions=True)


@click.command()
@click.option("--stack", "path", type=click.Path(exists=True, path_type=Path), required=True, help="what up --json has printed")
@click.option("--teams", default=TEAMS, show_default=True, help="to write as rows, with three or four orders each")
def main(path: Path, teams: int) -> None:
    """Measure the console's pages on a stack that is thrown away."""
    stack = RunningStack.model_validate_json(path.read_text())
    asyncio.run(measure(stack, f"{stack.api_url}/console/", teams))


if __name__ == "__main__":
    main()
