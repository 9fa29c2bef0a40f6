"""The platform beside its peers: teams of three until they are over. `python -m bench.peer --stack STACK.json`.

All sides have the same PostgreSQL; the peers have a database of their own there.
"""

import asyncio
import importlib.util
import json
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import click
import uvloop
from temporalio.client import Client

from bench import report
from bench.api_client import TEAM_SIZE, ApiClient, Json
from bench.callback_receiver import listening
from bench.driver import WARM_UP_TEAMS, Driver, Lives, RunningStack, failures_explained, until_workflow_closed
from bench.load import Stopwatch
from bench.peer.trade import SOURCE
from bench.processes import OTHERS, BenchError, Child, Meter, environment
from bench.rounds import percentile
from bench.team_plays import team_play
from db.campaigns.goods import save_goods
from db.campaigns.store import create_campaign
from db.core.connection import Database
from db.core.migrate import upgrade
from db.settings.malls import MallRecord, save_mall
from domain.messages.acts import command_line_author
from embedded.demo_data import DEMO_CAMPAIGNS, DEMO_GOODS
from embedded.http import responds
from embedded.ports import HOST, free_port
from embedded.process import exit_process
from workflows.client import data_converter_of

OURS, DURABLE, BARE = "groupbuy", "DBOS", "bare route"
AUTHOR = command_line_author("bench")
POLL_EVERY = 0.25
CLOSED_WITHIN = 60.0
MISSING = "DBOS is not installed: .venv/bin/pip install --require-hashes --no-deps -r bench/peer/requirements.lock"


@dataclass(frozen=True)
class Peer:
    """A side of its own: its process, and the client of it."""

    name: str
    child: Child
    api: ApiClient
    offer: Json

    async def play(self, name: str, stopwatch: Stopwatch) -> str:
        orders = [await self.api.lock(f"{name}-0", self.offer, None, stopwatch)]
        team_id = orders[0]["team_id"]
        orders += [await self.api.lock(f"{name}-{seat}", self.offer, team_id, stopwatch) for seat in range(1, TEAM_SIZE)]
        for order in orders:
            payment = {"amount": order["pay_price"], "paid_at": datetime.now(UTC).isoformat(), "team_id": team_id}
            path = f"/v1/orders/{order['out_trade_no']}/payment"
            answer = await self.api.post(path, payment, "payment", stopwatch)
        if answer["team"]["status"] != "completed":
            raise BenchError(f"three of three have paid, but team {team_id} is {answer['team']['status']}")
        return str(team_id)

    async def until_all_closed(self) -> None:
        began = time.perf_counter()
        while (await self.api.get("/open_teams"))["open_teams"]:
            if time.perf_counter() - began > CLOSED_WITHIN:
                raise BenchError(f"{self.name}: teams were still open {CLOSED_WITHIN:g} s after their last payment")
            await asyncio.sleep(POLL_EVERY)


async def prepare_database(database_url: str) -> tuple[str, str]:
    """Creates the peers' databases: with our tables and the demo campaign, and an empty one for DBOS; returns their URLs."""
    base, _, _ = database_url.rpartition("/")
    names = [f"peer_{secrets.token_hex(4)}" for _ in range(2)]
    conn = await asyncpg.connect(database_url)
    for name in names:
        await conn.execute(f"CREATE DATABASE {name}")
    await conn.close()
    ours, theirs = (f"{base}/{name}" for name in names)
    await asyncio.to_thread(upgrade, ours)
    database, now = Database(ours, size=1), datetime.now(UTC)
    await save_mall(database, MallRecord(SOURCE, "Peer", None, (HOST,), ("whsec_dGVzdHM=",), local=True))
    await save_goods(database, DEMO_GOODS[1], by=AUTHOR, now=now)
    await create_campaign(database, DEMO_CAMPAIGNS[1], by=AUTHOR, now=now)
    await database.close()
    return ours, theirs


@asynccontextmanager
async def peer(name: str, mode: str, urls: tuple[str, str]) -> AsyncIterator[Peer]:
    port, callback_port = free_port(), free_port()
    campaign = DEMO_CAMPAIGNS[1]
    offer: Json = {"goods_id": DEMO_GOODS[1].goods_id, "channel": "c01", "campaign_id": campaign.campaign_id}
    offer["callback"] = {"kind": "http", "url": f"http://{HOST}:{callback_port}/"}
    child = await Child.start(name, "bench.peer.app", mode, str(port), *urls, environment=environment())
    try:
        url = f"http://{HOST}:{port}"
        while not await _is_up(url):
            if not child.is_running:
                raise BenchError(f"{name} ended before it was ready; its output is above")
            await asyncio.sleep(0.1)
        async with listening(callback_port):
            yield Peer(name, child, ApiClient(url, "-"), offer)
    finally:
        await child.stop()


async def _is_up(url: str) -> bool:
    with suppress(OSError):
        return await responds(f"{url}/open_teams")
    return False


async def drive(stack: RunningStack, teams: int, callers: int, rounds: int) -> list[Lives]:
    """Measures rounds of all sides, in turns."""
    temporal = await Client.connect(stack.temporal_address, data_converter=data_converter_of(os.environ))
    urls = await prepare_database(stack.database_url)
    measured: list[Lives] = []
    async with AsyncExitStack() as cleanup:
        play_team, check = await cleanup.enter_async_context(team_play(stack))
        modes = {DURABLE: "durable", BARE: "bare"}
        peers = [await cleanup.enter_async_context(peer(name, mode, urls)) for name, mode in modes.items()]
        meter = Meter(stack.pids() | {each.name: each.child.pid for each in peers})
        ours = Driver(meter, callers, until_workflow_closed(temporal))
        sides = {OURS: (ours, play_team)}
        for each in peers:
            sides[each.name] = (Driver(meter, callers, all_closed=each.until_all_closed), each.play)
        for side, (driver, play) in sides.items():
            await driver.measure(side, play, WARM_UP_TEAMS)
        for _ in range(rounds):
            for side, (driver, play) in sides.items():
                measured.append(await driver.measure(side, play, teams))
                lives = measured[-1]
                click.echo(f"{side}: {lives.rate:.1f} teams/s, {lives.cpu_ms:.0f} ms of CPU per team", err=True)
        check()
    return measured


def summary(measured: list[Lives], callers: int) -> str:
    """Medians of the rounds of each side, and its CPU beside ours."""
    names = list(dict.fromkeys(name for lives in measured for name in lives.cpu if name != OTHERS))
    ours = median(lives.cpu_ms for lives in measured if lives.side == OURS)
    rows = []
    for side in (OURS, DURABLE, BARE):
        rounds = [lives for lives in measured if lives.side == side]
        numbers = [median(lives.traded_rate for lives in rounds), median(lives.rate for lives in rounds)]
        numbers += [median(percentile(lives.lock_ms, percent) for lives in rounds) for percent in (50, 99)]
        cpu = median(lives.cpu_ms for lives in rounds)
        parts = [median(lives.cpu[name] / lives.teams * 1000 for lives in rounds) for name in names]
        rows.append(
            [side, *(f"{each:.1f}" for each in [*numbers, cpu]), f"{ours / cpu:.2f}", *(f"{each:.1f}" for each in parts)]
        )
    teams = measured[0].teams
    title = f"=== {teams} teams of three, {callers} callers, until each is called back and its window over; medians ==="
    head = ["", "traded/s", "closed/s", "lock ms: p50", "p99", "CPU ms/team", "ours to it", *names]
    return "\n".join([title, "", report.table(head, rows), ""])


@click.command(context_settings={"show_default": True})
@click.option("--stack", "stack_file", type=click.File(), required=True, help="the line of `groupbuy up --json`; - for stdin")
@click.option("--teams", type=click.IntRange(min=1), default=300, help="of a round")
@click.option("--callers", type=click.IntRange(min=1), default=16, help="concurrent callers")
@click.option("--rounds", type=click.IntRange(min=1), default=3)
@click.option("--admission", default="as the stack has it", help="how the stack admits, for the title and the JSON")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="also write the numbers here")
def main(
    *,
    stack_file: Any,  # noqa: ANN401
    teams: int,
    callers: int,
    rounds: int,
    admission: str,
    json_file: Path | None,
) -> None:
    """The same trade, with the same transactions over HTTP: ours, on DBOS, and behind a bare route without durability."""
    if importlib.util.find_spec("dbos") is None:
        exit_process(f"bench: {MISSING}")
    with failures_explained():
        stack = RunningStack.model_validate_json(stack_file.read())
        measured = uvloop.run(drive(stack, teams, callers, rounds))
    click.echo(f"admission: {admission}\n\n{summary(measured, callers)}")
    if json_file:
        conditions = {"part": "peer", "admission": admission, "machine": report.machine(), "callers": callers}
        json_file.write_text(json.dumps({**conditions, "measured": [lives.as_json() for lives in measured]}, indent=1))
    exit_process(0)


if __name__ == "__main__":
    main()
