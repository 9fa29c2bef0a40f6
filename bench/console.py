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

from bench.life import RunningStack
from bench.report import table
from bench.rounds import percentile

TEAMS = 300_000
APART = "17 seconds"
"""between two teams: together they fill two months"""
REQUESTS = 20
OPEN_PAGES = 200
WATCHED = 20.0

AT = f"now() - n * interval '{APART}'"
SEED = (
    f"""
    INSERT INTO teams (team_id, source, campaign_id, campaign_version, goods_id, original_price, discount, merchant_share,
                       target_count, lock_ttl, payment_grace, refund_window, status, lock_count, complete_count,
                       opened_at, deadline, completed_at, completion)
    SELECT 'bench-' || n, 's01', 100123, 1, '9890001', 100, '{{"plan": "cut", "expr": "20"}}', 100, 4, 900, 30, 0, 'completed',
           3 + (n % 3 = 0)::int, 3 + (n % 3 = 0)::int, {AT}, {AT} + interval '1 day', {AT} + interval '10 minutes', 'operator'
      FROM generate_series(1, {TEAMS}) n
    """,
    f"""
    INSERT INTO orders (order_id, source, out_trade_no, user_id, team_id, opened_team, campaign_id, goods_id, channel, status,
                        live, original_price, deduction, merchant_deduction, pay_price, take_limit, callback_format, locked_at,
                        lock_expires_at, paid_amount, paid_at, payment_reported_at, payment_outcome)
    SELECT 'bench-' || n || '-' || seat, 's01', 'bench-' || n || '-' || seat, 'buyer-' || (n * 7 + seat) % 200000,
           'bench-' || n, seat = 1, 100123, '9890001', 'c01', 'paid', true, 100, 20, 20, 80, 100, 'standard',
           {AT} + seat * interval '1 second', {AT} + interval '15 minutes', 80, {AT}, {AT} + seat * interval '3 seconds',
           'settled'
      FROM generate_series(1, {TEAMS}) n, generate_series(1, 4) seat WHERE seat <= 3 + (n % 3 = 0)::int
    """,
    f"""
    INSERT INTO events (event_id, source, type, team_id, data, occurred_at, sequence)
    SELECT 'evt_bench' || n, 's01', 'team.completed', 'bench-' || n, '{{}}', {AT}, 1000000 - n
      FROM generate_series({TEAMS}, 1, -1) n
    """,
    f"""
    INSERT INTO deliveries (event_id, kind, address, format, status, attempts, since, next_attempt_at, finished_at)
    SELECT 'evt_bench' || n, 'http', 'http://127.0.0.1:9/callbacks', 'standard', 'delivered', 1, {AT}, {AT}, {AT}
      FROM generate_series(1, {TEAMS}) n
    """,
    f"""
    INSERT INTO delivery_attempts (event_id, kind, address, format, started_at, duration_ms, http_status)
    SELECT 'evt_bench' || n, 'http', 'http://127.0.0.1:9/callbacks', 'standard', {AT}, 12, 200
      FROM generate_series(1, {TEAMS}) n
    """,
    f"""
    INSERT INTO refunds (order_id, attempt, kind, status, reason, amount, requested_at, released_at, finished_at, checked_at)
    SELECT 'bench-' || n || '-1', 1, 'unpaid', 'done', 'for the benchmark', 0, {AT}, {AT}, {AT}, {AT}
      FROM generate_series(1, {TEAMS // 3}) n
    """,
    "ANALYZE",
    # What reconciliation says of teams that have no workflow is not to be measured.
    "DELETE FROM reconciliation_findings",
)
PAGES = (
    *("", "health", "attention", "teams", "teams?status=completed", "teams?status=failed", "teams?campaign_id=100123"),
    *("teams/bench-7", "orders", "orders?status=paid", "orders?status=refunded", "orders?owed=true", "orders?user_id=buyer-77"),
    *("orders?out_trade_no=bench-200000-2", "orders/bench-9-1", "refunds", "refunds?status=requested", "callbacks"),
    *("callbacks?status=delivered", "callbacks?type=team.failed", "callbacks/evt_bench5", "campaigns", "campaigns/100123"),
    *("campaigns/100123/funnel", "campaigns/100123/ending", "audiences", "settlements", "audit", "search?q=bench-200000-2"),
)


async def measure(stack: RunningStack, console_url: str) -> None:
    conn = await asyncpg.connect(stack.database_url)
    for statement in SEED:
        await conn.execute(statement, timeout=300)
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
