"""What a buyer waits for while the platform does mass work: a team of a thousand fails, campaigns are shut down, seats lapse.

`python -m bench.mass --stack STACK.json` drives a running stack through its public API. STACK.json holds the line that
`groupbuy up --json` prints.
"""

import asyncio
import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import click
import uvloop

from bench import report
from bench.api_client import ApiClient, Json
from bench.buyers import BUYERS_PER_SECOND, Buyers, Watch
from bench.driver import RunningStack, failures_explained
from bench.http_client import HttpClient
from bench.processes import BenchError
from bench.rounds import percentile
from embedded.process import exit_process

CALLERS = 16
"""that fill teams before the mass work begins"""
CALM = 10.0
"""seconds without mass work"""
LAPSES_AFTER = 150
"""seconds that unpaid seats are kept: their workflows have taken them over by then"""
DECIDED_AFTER = 120
"""seconds that teams are open whose deadlines are watched"""


FREED_LATE = """
SELECT extract(epoch FROM cancelled_at - lock_expires_at)::float FROM orders
 WHERE campaign_id = $1 AND cancel_reason = 'lock_timeout' ORDER BY 1
"""


class MassBench:
    def __init__(self, database: "asyncpg.Connection[asyncpg.Record]", mall: ApiClient, ops: ApiClient, buyers: Buyers) -> None:
        self._database = database
        self._mall = mall
        self._ops = ops
        self._buyers = buyers

    async def calm(self) -> Watch:
        until = time.monotonic() + CALM

        async def is_over() -> bool:
            return time.monotonic() > until

        return await self._watch(Watch("nothing else"), is_over)

    async def failed_team(self, members: int) -> Watch:
        """An operator closes a team whose members have all paid, but for one free seat."""
        offer = await self._campaign(members + 1)
        opener = await self._paid(offer, None)
        await self._concurrently([self._paid(offer, opener["team_id"]) for _ in range(members - 1)])
        await self._ops.post(f"/v1/ops/teams/{opener['team_id']}/close", {"reason": "bench"})

        async def is_over() -> bool:
            [team] = (await self._ops.get(f"/v1/ops/teams?campaign_id={offer['campaign_id']}"))["data"]
            owed = await self._ops.get(f"/v1/ops/orders?campaign_id={offer['campaign_id']}&owed=true&limit=1")
            return team["status"] == "failed" and not owed["data"]

        return await self._watch(Watch(f"a team with {members} members fails"), is_over)

    async def shutdowns(self, campaigns: int, teams: int) -> Watch:
        """Campaigns that are all shut down at once, each with so many teams of one paid member."""
        offers = [await self._campaign(2) for _ in range(campaigns)]
        await self._concurrently([self._paid(offer, None) for offer in offers for _ in range(teams)])
        paths = [f"/v1/ops/campaigns/{offer['campaign_id']}/ending" for offer in offers]
        await asyncio.gather(*(self._ops.post(f"{path}?confirm=true", {}) for path in paths))

        async def is_over() -> bool:
            return all([(await self._ops.get(path))["status"] == "done" for path in paths])

        return await self._watch(Watch(f"{campaigns} campaigns with {teams} teams each are shut down"), is_over)

    async def lapses(self, seats: int) -> Watch:
        """Nobody pays for these seats, each in a team of its own: they lapse as quickly as they were taken."""
        offer = await self._campaign(2, lock_ttl=LAPSES_AFTER, payment_grace=0)
        began = time.monotonic()
        await self._concurrently([self._mall.lock(f"mass-{secrets.token_hex(6)}", offer) for _ in range(seats)])
        unpaid = f"/v1/ops/orders?campaign_id={offer['campaign_id']}&status=locked&limit=1"
        if not (await self._ops.get(unpaid))["data"]:
            raise BenchError(f"{seats} seats could not be taken within {LAPSES_AFTER} s")
        await asyncio.sleep(max(began + LAPSES_AFTER - time.monotonic(), 0))

        async def is_over() -> bool:
            return not (await self._ops.get(unpaid))["data"]

        watch = await self._watch(Watch(f"{seats} seats lapse"), is_over)
        watch.freed_late = [row[0] for row in await self._database.fetch(FREED_LATE, offer["campaign_id"])]
        return watch

    async def deadlines(self, teams: int) -> Watch:
        """Teams with one paid member each, opened as quickly as may be: they fail as quickly, and all money goes back."""
        offer = await self._campaign(2, team_ttl=DECIDED_AFTER, payment_grace=0)
        began = time.monotonic()
        await self._concurrently([self._paid(offer, None) for _ in range(teams)])
        await asyncio.sleep(max(began + DECIDED_AFTER - time.monotonic(), 0))
        of_campaign = f"campaign_id={offer['campaign_id']}&limit=1"

        async def is_over() -> bool:
            forming = await self._ops.get(f"/v1/ops/teams?{of_campaign}&status=forming")
            owed = await self._ops.get(f"/v1/ops/orders?{of_campaign}&owed=true")
            return not forming["data"] and not owed["data"]

        return await self._watch(Watch(f"the deadlines of {teams} teams"), is_over)

    async def _watch(self, watch: Watch, is_over: Callable[[], Awaitable[bool]]) -> Watch:
        await self._buyers.arrive(watch, is_over)
        return watch

    async def _campaign(self, target_count: int, **fields: int) -> Json:
        return await self._ops.create_campaign(f"bench-mass-{secrets.token_hex(4)}", target_count, **fields)

    async def _paid(self, offer: Json, team_id: str | None) -> Json:
        order = await self._mall.lock(f"mass-{secrets.token_hex(6)}", offer, team_id)
        await self._mall.pay(order)
        return order

    async def _concurrently(self, actions: list[Coroutine[Any, Any, Any]]) -> None:
        slots = asyncio.Semaphore(CALLERS)

        async def run(action: Coroutine[Any, Any, Any]) -> None:
            async with slots:
                await action

        await asyncio.gather(*map(run, actions))


def summary(watches: list[Watch]) -> str:
    rows = []
    for watch in watches:
        for kind, values in watch.latencies.items():
            numbers = [f"{percentile(sorted(values), percent):.0f}" for percent in (50, 99)]
            counts = [str(len(values)), str(watch.failed[kind])]
            rows.append([watch.name, f"{watch.seconds:.0f}", kind, *counts, *numbers, f"{max(values):.0f}"])
    head = ["meanwhile", "seconds", "buyers elsewhere", "requests", "failed", "ms: p50", "p99", "most"]
    title = f"=== {BUYERS_PER_SECOND:g} buyers a second elsewhere while the platform does mass work ==="
    codes = [
        f"{watch.name}: {', '.join(f'{count} × {code}' for code, count in watch.codes.items())}"
        for watch in watches
        if watch.codes
    ]
    late = [
        f"{watch.name}: each was released {percentile(watch.freed_late, 50):.1f} s after its time (median), the last one "
        f"{watch.freed_late[-1]:.1f} s"
        for watch in watches
        if watch.freed_late
    ]
    return "\n".join([title, "", report.table(head, rows), "", *codes, *late, ""])


async def drive(
    stack: RunningStack, members: int, campaigns: list[int], teams: int, lapses: list[int], deadlines: list[int]
) -> list[Watch]:
    mall, ops = ApiClient(stack.api_url, stack.mall_key), ApiClient(stack.api_url, stack.ops_key)
    database = await asyncpg.connect(stack.database_url)
    bench = MassBench(database, mall, ops, Buyers(HttpClient(stack.api_url, stack.mall_key)))
    watches: list[Watch] = []
    shutdowns = [partial(bench.shutdowns, count, teams) for count in campaigns]
    failures = [partial(bench.failed_team, members)] if members else []
    measures: list[Callable[[], Awaitable[Watch]]] = [
        bench.calm,
        *failures,
        *shutdowns,
        *(partial(bench.lapses, seats) for seats in lapses),
        *(partial(bench.deadlines, count) for count in deadlines),
    ]
    for measure in measures:
        watches.append(await measure())
        click.echo(f"{watches[-1].name}: {watches[-1].seconds:.0f} s, load {os.getloadavg()[0]:.1f}", err=True)
    if violations := (await ops.get("/v1/ops/invariants?within=20"))["violations"]:
        raise BenchError(f"invariants: {violations[:20]}")
    await database.close()
    return watches


@click.command(context_settings={"show_default": True})
@click.option("--stack", "stack_file", type=click.File(), required=True, help="the line of `groupbuy up --json`; - for stdin")
@click.option("--members", type=click.IntRange(0, 999), default=999, help="of the team that fails; 0: none does")
@click.option("--campaigns", default="4,10", help="how many are shut down at once, one measurement for each number")
@click.option("--teams", type=click.IntRange(min=1), default=24, help="of each of these campaigns")
@click.option("--lapses", default="3000", help="unpaid seats that lapse at once, one measurement for each number")
@click.option("--deadlines", default="300", help="teams whose time is over at once, one measurement for each number")
@click.option("--admission", default="as the stack has it", help="how the stack admits, for the title and the JSON")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="also write the numbers here")
def main(
    *,
    stack_file: Any,  # noqa: ANN401
    members: int,
    campaigns: str,
    teams: int,
    lapses: str,
    deadlines: str,
    admission: str,
    json_file: Path | None,
) -> None:
    """What buyers elsewhere wait for while a team's members get their money back, campaigns are shut down, and seats lapse.

    Prints numbers and asserts none of them; exits with 1 when the mass work does not end or an invariant is broken.
    """
    with failures_explained():
        stack = RunningStack.model_validate_json(stack_file.read())
        counts = [[int(count) for count in text.split(",") if count] for text in (campaigns, lapses, deadlines)]
        watches = uvloop.run(drive(stack, members, counts[0], teams, counts[1], counts[2]))
    click.echo(f"admission: {admission}\n\n{summary(watches)}")
    if json_file:
        conditions = {"part": "mass", "admission": admission, "machine": report.machine()}
        json_file.write_text(json.dumps({**conditions, "measured": [watch.as_json() for watch in watches]}, indent=1))
    exit_process(0)


if __name__ == "__main__":
    main()
