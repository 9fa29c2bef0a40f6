"""What requests, lists and background work cost with ten million orders. `python -m bench.big --stack STACK.json`.

Everything is measured beside a few old teams, then beside three million, and then these are removed for a while.
The teams have no workflows: throw the stack away afterwards.
"""

import json
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import click
import uvloop

from bench import report
from bench.api_client import LOAD_OFFER, ApiClient, Json
from bench.driver import RunningStack
from bench.old_teams import APART, seed_old_teams
from bench.processes import BenchError
from bench.rounds import percentile
from db.campaigns.market import count_statistics
from db.core.connection import Database
from db.core.invariants import Horizons
from db.reconciliation.invariants import check_campaigns, check_slice, next_turn
from db.reconciliation.live_teams import next_live_teams
from db.reconciliation.overdue import overdue_teams
from db.retention.removal import SLICE as REMOVED_AT_ONCE
from db.retention.removal import next_old_teams, remove_teams
from db.settlements import count_settlements, unbooked_teams
from db.statistics import count_day
from embedded.process import echo_error, exit_process

TEAMS = 3_000_000
"""a third more than three orders each"""
FEW = 300
"""teams beside which as many are measured: they fill a page of each list"""
PLAYED, LISTED, SWEPT = 100, 20, 5
"""times that each is measured"""
REMOVED_FOR = 10.0
"""seconds"""
LISTS = (
    *("teams", "teams?status=completed", "teams?campaign_id=100123", "orders", "orders?status=paid", "orders?owed=true"),
    *("orders?status=refunded", "refunds", "callbacks", "callbacks?status=delivered", "attention", "statistics", "settlements"),
)
SIZES = """
SELECT c.relname AS name, c.reltuples::bigint AS rows, pg_relation_size(c.oid) AS bytes, i.indrelid::regclass::text AS of_table
  FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'i') AND pg_relation_size(c.oid) > 16 * 1024 * 1024
 ORDER BY coalesce(i.indrelid, c.oid)::regclass::text, i.indexrelid IS NOT NULL, bytes DESC
"""


@dataclass(frozen=True)
class Measurement:
    name: str
    ms: list[float]
    """sorted"""

    @property
    def p50(self) -> float:
        return percentile(self.ms, 50)

    def as_json(self) -> Json:
        return {"name": self.name, "count": len(self.ms), **{f"p{each}": percentile(self.ms, each) for each in (50, 95, 100)}}


class Big:
    def __init__(self, stack: RunningStack, database: Database) -> None:
        self._mall = ApiClient(stack.api_url, stack.mall_key)
        self._ops = ApiClient(stack.api_url, stack.ops_key)
        self._database = database

    async def measure(self) -> list[Measurement]:
        """One request after the other, from one caller."""
        measured: dict[str, list[float]] = {}
        offers = [LOAD_OFFER, await self._ops.create_campaign(f"bench-big-{secrets.token_hex(4)}", 3)]
        for number in range(PLAYED):
            await self._play(measured, offers[number % 2])
        rows: dict[str, int] = {}
        for _ in range(LISTED):
            for path in LISTS:
                page = await _time(measured, f"GET ops/{path}", partial(self._ops.get, f"/v1/ops/{path}"))
                rows[path] = len(page["data"])
        # A page costs what its rows cost: only pages with as many rows can be compared.
        echo_error(f"rows of a page: {', '.join(f'{path} {count}' for path, count in rows.items())}")
        for _ in range(SWEPT):
            for name, sweep in self._sweeps().items():
                await _time(measured, name, sweep)
        return [Measurement(name, sorted(values)) for name, values in measured.items()]

    async def _play(self, measured: dict[str, list[float]], offer: Json) -> None:
        """A team of two of three: the third seat stays free."""
        name = f"big-{secrets.token_hex(8)}"
        opened: Json = await _time(measured, "lock, opening", lambda: self._mall.lock(name, offer))
        await _time(measured, "lock, joining", lambda: self._mall.lock(f"{name}-2", offer, opened["team_id"]))
        await _time(measured, "payment", lambda: self._mall.pay(opened))
        query = f"goods_id={offer['goods_id']}&channel={offer['channel']}&user_id={name}-3"
        await _time(measured, "market", lambda: self._mall.get(f"/v1/market?{query}"))
        await _time(measured, "quote", lambda: self._mall.post("/v1/quotes", offer | {"user_id": f"{name}-3"}))
        await _time(measured, "order", lambda: self._mall.get(f"/v1/orders/{name}"))

    def _sweeps(self) -> dict[str, Callable[[], Awaitable[object]]]:
        """What runs in the background, each by itself."""
        database, now, horizons = self._database, datetime.now(UTC), Horizons()
        yesterday = (now - timedelta(days=1)).date()

        async def invariants() -> None:
            turn = await next_turn(database, now, horizons)
            for slice_ in turn.slices[:10]:
                await check_slice(database, slice_, now, horizons)

        return {
            "reconciliation: overdue teams": lambda: overdue_teams(database, now, 100),
            "reconciliation: live teams": lambda: next_live_teams(database, now, 500),
            "reconciliation: unbooked teams": lambda: unbooked_teams(database, now, 1000),
            "invariants: 10 slices": invariants,
            "invariants: campaigns": lambda: check_campaigns(database),
            "statistics of a day": lambda: count_day(database, yesterday, now),
            "settlements of a day": lambda: count_settlements(database, yesterday, now),
            "statistics of the market": lambda: count_statistics(database, [("s01", 100123)]),
        }


async def _time(measured: dict[str, list[float]], name: str, call: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401
    began = time.perf_counter()
    answer = await call()
    measured.setdefault(name, []).append((time.perf_counter() - began) * 1000)
    return answer


async def remove_for_a_while(database: Database, teams: int) -> tuple[int, float]:
    """Removes the oldest teams as the Schedule does, but without its pauses; returns how many, and the seconds."""
    cutoff = datetime.now(UTC) - timedelta(seconds=teams * APART // 2)
    began, removed = time.perf_counter(), 0
    while time.perf_counter() - began < REMOVED_FOR:
        old = await next_old_teams(database, cutoff)
        count = (await remove_teams(database, old.team_ids, cutoff)).teams
        if not count:
            break
        removed += count
    return removed, time.perf_counter() - began


async def drive(stack: RunningStack, teams: int) -> Json:
    """Prints each table as soon as it is there; returns the numbers."""
    conn = await asyncpg.connect(stack.database_url)
    database = Database(stack.database_url, size=2)
    bench = Big(stack, database)
    await seed_old_teams(conn, FEW)
    await bench.measure()  # warm
    before = await bench.measure()
    began = time.perf_counter()
    await seed_old_teams(conn, teams, lambda count: echo_error(f"{count:,} of {teams:,} teams"), after=FEW)
    seeded = time.perf_counter() - began
    await bench.measure()  # warm
    after = await bench.measure()
    sizes = [dict(row) for row in await conn.fetch(SIZES)]
    click.echo(summary(before, after, teams, seeded))
    click.echo(sizes_summary(sizes))
    removed, seconds = await remove_for_a_while(database, teams)
    milliseconds = seconds / max(removed, 1) * 1000 * REMOVED_AT_ONCE
    rate = f"{removed / seconds:.0f} teams a second, {milliseconds:.0f} ms for a transaction of {REMOVED_AT_ONCE}"
    click.echo(f"retention, without its pauses: {rate}\n")
    violations = (await ApiClient(stack.api_url, stack.ops_key).get("/v1/ops/invariants?within=20"))["violations"]
    if violations:
        raise BenchError(f"invariants: {violations[:20]}")
    await database.close()
    await conn.close()
    return {
        "teams": teams,
        "before": [each.as_json() for each in before],
        "after": [each.as_json() for each in after],
        "sizes": sizes,
        "retention": {"teams": removed, "seconds": seconds},
    }


def summary(before: list[Measurement], after: list[Measurement], teams: int, seeded: float) -> str:
    rows = []
    for few, full in zip(before, after, strict=True):
        times = [few.p50, full.p50, percentile(full.ms, 95)]
        rows.append([few.name, str(len(full.ms)), *(f"{each:.1f}" for each in times), f"{full.p50 / few.p50:.2f}"])
    title = f"=== one caller, beside {FEW} and beside {teams:,} old teams (seeded in {seeded:.0f} s) ==="
    head = ["ms", "times", "p50 few", "p50 all", "p95 all", "all / few"]
    return "\n".join([title, "", report.table(head, rows), ""])


def sizes_summary(sizes: list[Json]) -> str:
    rows = [
        [f"  {each['name']}" if each["of_table"] else each["name"], f"{each['rows']:,}", f"{each['bytes'] / 2**20:.0f}"]
        for each in sizes
    ]
    return "\n".join(["=== tables and indexes of more than 16 MiB ===", "", report.table(["", "rows", "MiB"], rows), ""])


@click.command(context_settings={"show_default": True})
@click.option("--stack", "stack_file", type=click.File(), required=True, help="the line of `groupbuy up --json`; - for stdin")
@click.option("--scale", type=click.FloatRange(min=0.0001), default=1.0, help=f"of {TEAMS:,} teams with ten million orders")
@click.option("--admission", default="as the stack has it", help="how the stack admits, for the title and the JSON")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="also write the numbers here")
def main(*, stack_file: Any, scale: float, admission: str, json_file: Path | None) -> None:  # noqa: ANN401
    """What locks, payments, lists and background work cost with ten million orders, and with a thousand."""
    try:
        stack = RunningStack.model_validate_json(stack_file.read())
        click.echo(f"admission: {admission}\n")
        numbers = uvloop.run(drive(stack, round(TEAMS * scale)))
    except (BenchError, OSError, ValueError, asyncpg.PostgresError) as error:
        exit_process(f"bench: {error}")
    if json_file:
        conditions = {"part": "big", "admission": admission, "machine": report.machine()}
        json_file.write_text(json.dumps({**conditions, **numbers}, indent=1))
    exit_process(0)


if __name__ == "__main__":
    main()
