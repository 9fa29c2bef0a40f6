"""`python -m bench`: the floor and ours, in turns, on a stack of its own."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, cast

import aiohttp
import asyncpg
import click
from temporalio.client import Client

from activities.callbacks.per_mall_limit import AT_ONCE
from bench import audiences, report
from bench.callbacks import Callbacks, Sent, broker, broker_place
from bench.load import Round
from bench.mall_calls import TEAM_SIZE
from bench.market import CAMPAIGNS, TEAMS_PER_CAMPAIGN, seed
from bench.outcome import Outcome, outcome, until_delivered
from bench.processes import BenchError, Child, Meter, environment
from bench.reverse import Reverse
from bench.rounds import Measured, Pair, Side, total
from db.core.migrate import upgrade
from domain.schemas.malls import MallFields
from embedded.errors import StackError
from embedded.http import answers
from embedded.ports import HOST, free_port
from embedded.stack import Options, Stack

WARM_UP_SECONDS = 5.0
WARM_UP_CALLERS = 16
QUOTE_CALLERS = 16
ORDERS_PER_SECOND = 9
"""orders of each kind that are undone, per second that a round is long"""


def parse_callers(_: click.Context, __: click.Parameter, text: str) -> list[int]:
    try:
        callers = [int(each) for each in text.split(",")]
    except ValueError:
        callers = [0]
    if min(callers) < 1:
        raise click.BadParameter("numbers of callers, for example 16,64")
    return callers


@click.command(context_settings={"show_default": True})
@click.option(
    "--seconds", type=click.FloatRange(min=0.5), default=10.0, help="measured in a round; quotes and market: half of it"
)
@click.option("--rounds", type=click.IntRange(min=1), default=3, help="of each side, in turns")
@click.option("--callers", callback=parse_callers, default="16,64", help="concurrent callers, one table for each number")
@click.option("--only", type=click.Choice(["audiences"]), help="this part alone, which is otherwise left out: it takes minutes")
@click.option("--members", type=click.IntRange(min=1), default=audiences.MEMBERS, help="of the audience of --only audiences")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="also write the numbers here")
def main(*, seconds: float, rounds: int, callers: list[int], only: str | None, members: int, json_file: Path | None) -> None:
    """What the platform costs beside bare Temporal updates.

    Starts a stack of its own in a temporary directory and measures in turns: (a) the floor, a bare workflow with no-op
    updates called without HTTP and database; (b) ours, whole teams of three over HTTP (3 locks, 3 payments). Then quotes
    and the market beside a bare FastAPI route, refunds of every kind, and a team of a hundred that fails. Then callbacks over
    HTTP, and over RabbitMQ where one answers, beside a bare loop of the same clients; and the market again with a thousand
    campaigns and a hundred thousand teams. Prints numbers and asserts none of them; exits with 1 when a team is missing or an
    invariant is broken.
    """
    try:
        plan = Plan(seconds=seconds, rounds=rounds, callers=callers, members=members if only else 0, json_file=json_file)
        _leave(asyncio.run(_until_signal(plan)))
    except (BenchError, StackError, OSError) as error:
        _leave(f"bench: {error}")


@dataclass(frozen=True, kw_only=True)
class Plan:
    seconds: float
    rounds: int
    callers: list[int]
    members: int
    """of an audience, which is then all that is measured; 0: everything else"""
    json_file: Path | None


async def _until_signal(plan: Plan) -> int:
    us = cast("asyncio.Task[int]", asyncio.current_task())
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, us.cancel)
    try:
        async with AsyncExitStack() as cleanup:
            directory = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="groupbuy-bench-"))
            if plan.members:
                return await _audiences(Path(directory), plan.members)
            return await Bench(plan, cleanup).run(Path(directory))
    except asyncio.CancelledError:
        say("stopped")
        return 130


class Bench:
    def __init__(self, plan: Plan, cleanup: AsyncExitStack) -> None:
        self._plan = plan
        self._cleanup = cleanup
        self._rounds_played = 0
        self._callbacks_late = 0.0
        self._teams: list[Side] = []

    async def run(self, directory: Path) -> int:
        await self._start(directory / "stack")
        print(report.machine(), flush=True)
        print()
        say("warming up")
        await self._in_turns(WARM_UP_CALLERS, WARM_UP_SECONDS, 1)
        pairs = []
        for callers in self._plan.callers:
            pair = await self._in_turns(callers, self._plan.seconds, self._plan.rounds)
            print(report.updates(pair), flush=True)
            pairs.append(pair)
        await seed(self._database, 0, 0)
        pairs += await self._beside_bare(quotes="quote", market="market")
        print(report.beside_bare(pairs[-2:]), flush=True)
        reverse = Reverse(self._http, self._mall_key, self._ops_key, self._database, self._meter)
        say("refunds")
        undone = [*await reverse.kinds(round(self._plan.seconds * ORDERS_PER_SECOND)), await reverse.failed_team()]
        print(report.undone(undone, pairs[0].base), flush=True)
        sent = await self._callbacks(pairs[0])
        print(report.sent(sent), flush=True)
        many = f", {CAMPAIGNS} campaigns with {CAMPAIGNS * TEAMS_PER_CAMPAIGN} teams"
        say(f"seeding{many[1:]}")
        await seed(self._database, 1, CAMPAIGNS - 1)
        pairs += await self._beside_bare(quotes="quote_of_many", market="market_of_many")
        print(report.beside_bare(pairs[-2:], many), flush=True)
        played = total(self._teams) + sum(len(each.receipts) for each in sent)
        end = await outcome(self._database, self._client, self._http, self._ops_key, played)
        print(report.end(end, self._callbacks_late), flush=True)
        if self._plan.json_file:
            self._plan.json_file.write_text(json.dumps(report.as_json(pairs, undone, sent, end), indent=1))
        return 0 if _is_whole(end) else 1

    async def _start(self, data_dir: Path) -> None:
        self._broker = await self._cleanup.enter_async_context(broker())
        if self._broker is None:
            say(f"no RabbitMQ answers at {broker_place()}: callbacks over it are left out")
        stack = await self._cleanup.enter_async_context(Stack(Options(data_dir=data_dir, amqp_url=self._broker), say))
        addresses = stack.addresses
        ours = environment(TEMPORAL_ADDRESS=addresses.temporal_address, GROUPBUY_DATABASE_URL=addresses.database_url)
        if addresses.temporal_ui_url:
            ours["GROUPBUY_TEMPORAL_UI_URL"] = addresses.temporal_ui_url
        port = str(free_port())
        url = f"http://{HOST}:{port}"
        key = addresses.mall_key
        floor_worker = await self._child("floor: worker", "bench.floor", "worker", environment=ours)
        self._floor_callers = await self._child("floor: callers", "bench.floor", "callers", environment=ours)
        self._team_callers = await self._child("ours: callers", "bench.mall_calls", addresses.api_url, key, environment=ours)
        self._quote_callers = await self._child("quotes: callers", "bench.mall_calls", url, key, environment=ours)
        self._mall_url = f"http://{HOST}:{free_port()}/"
        mall_port = self._mall_url.rstrip("/").rpartition(":")[2]
        bare_mall = await self._child("callbacks: mall", "bench.bare_mall", mall_port, environment=ours)
        senders = [self._mall_url, *filter(None, [self._broker])]
        self._callback_floor = await self._child("callbacks: bare", "bench.callback_floor", *senders, environment=ours)
        server = await self._child("quotes: API", "bench.bare_route", port, environment=ours)
        loads = (self._floor_callers, self._team_callers, self._quote_callers, self._callback_floor)
        for child in (floor_worker, bare_mall, *loads):
            await child.ready()
        await _until_up(server, url)

        parts = ("temporal", "postgres", "worker-1", "api")
        pids = {name: stack.part(name).pid or 0 for name in parts} | {"mall": bare_mall.pid}
        children = (self._team_callers, floor_worker, self._floor_callers)
        self._meter = Meter(pids | {child.name: child.pid for child in children})
        quoting = {child.name: child.pid for child in (server, self._quote_callers)}
        self._quotes_meter = Meter({"postgres": pids["postgres"]} | quoting)
        say(f"pids: {', '.join(f'{name} {pid}' for name, pid in (pids | quoting).items())}")

        self._mall_key, self._ops_key = addresses.mall_key, addresses.ops_key
        self._database = await asyncpg.connect(addresses.database_url)
        self._cleanup.push_async_callback(self._database.close)
        self._http = await self._cleanup.enter_async_context(aiohttp.ClientSession(addresses.api_url))
        await self._call_bare_mall()
        self._client = await Client.connect(addresses.temporal_address)

    async def _call_bare_mall(self) -> None:
        """The teams' callbacks go to it, and not to the demo mall: what a mall does with them is not what is measured."""
        headers = {"Authorization": f"Bearer {self._ops_key}"}
        async with self._http.get("/v1/ops/malls", headers=headers) as listed:
            [mall] = (await listed.json())["data"]
        fields = {name: mall[name] for name in MallFields.model_fields}
        fields["callback"] = {"kind": "http", "url": self._mall_url}
        async with self._http.put(f"/v1/ops/malls/{mall['source']}", json=fields, headers=headers) as changed:
            changed.raise_for_status()

    async def _child(self, name: str, module: str, *arguments: str, environment: dict[str, str]) -> Child:
        child = await Child.start(name, module, *arguments, environment=environment)
        self._cleanup.push_async_callback(child.stop)
        return child

    async def _in_turns(self, callers: int, seconds: float, rounds: int) -> Pair:
        base, ours = [], []
        for number in range(1, rounds + 1):
            base.append(await self._round(self._floor_callers, "bare", self._meter, callers, seconds))
            ours.append(await self._round(self._team_callers, "team", self._meter, callers, seconds))
            self._callbacks_late = max(self._callbacks_late, await until_delivered(self._database))
            say(f"{callers} callers, round {number}: floor {base[-1].rate:.0f}/s, ours {ours[-1].rate:.0f}/s")
        pair = Pair(callers, Side("floor", base), Side("ours", ours))
        self._teams.append(pair.ours)
        return pair

    async def _beside_bare(self, **plays: str) -> list[Pair]:
        """Each of these plays, by its side's name, in turns with the bare route."""
        sides: dict[str, list[Measured]] = {play: [] for play in ("bare", *plays.values())}
        seconds = self._plan.seconds / 2
        for play in sides:
            await self._round(self._quote_callers, play, self._quotes_meter, QUOTE_CALLERS, min(seconds, 1))
        for number in range(1, self._plan.rounds + 1):
            for play, done in sides.items():
                done.append(await self._round(self._quote_callers, play, self._quotes_meter, QUOTE_CALLERS, seconds))
            rates = ", ".join(f"{play} {done[-1].rate:.0f}/s" for play, done in sides.items())
            say(f"{QUOTE_CALLERS} callers, round {number}: {rates}")
        bare = Side("bare route", sides["bare"])
        return [Pair(QUOTE_CALLERS, bare, Side(name, sides[play])) for name, play in plays.items()]

    async def _callbacks(self, pair: Pair) -> list[Sent]:
        """Over HTTP, and over RabbitMQ where there is one; receipts at half of what the callers brought about before."""
        callbacks = Callbacks(self._http, self._mall_key, self._ops_key, self._database, self._mall_url)
        teams_per_second = pair.ours.rate / (2 * TEAM_SIZE) / 2
        sent = []
        for kind in ("http", "amqp") if self._broker else ("http",):
            say(f"callbacks over {kind}")

            async def bare(kind: str = kind) -> float:
                measured = await self._round(self._callback_floor, kind, self._meter, AT_ONCE, self._plan.seconds / 2)
                return measured.rate

            sent.append(await callbacks.sent(kind, self._plan.seconds, bare, teams_per_second))
        return sent

    async def _round(self, by: Child, play: str, meter: Meter, callers: int, seconds: float) -> Measured:
        self._rounds_played += 1
        asked = Round(name=f"r{self._rounds_played}", play=play, callers=callers, seconds=seconds)
        played, before, after = await by.play(asked, meter)
        return Measured(played, after.since(before))


async def _audiences(directory: Path, members: int) -> int:
    async with Stack(Options(data_dir=directory / "stack", services_only=True), say) as stack:
        url = stack.addresses.database_url
        await asyncio.to_thread(upgrade, url)
        print(report.machine(), flush=True)
        print()
        say(f"{members:,} members; it takes a while")
        print(audiences.summary(members, await audiences.measure(url, members)), flush=True)
    return 0


def _is_whole(end: Outcome) -> bool:
    return end.played == end.completed and not end.violations


async def _until_up(server: Child, url: str) -> None:
    while True:
        if not server.is_running:
            raise BenchError(f"{server.name} ended before it was ready; what it said is above")
        with suppress(OSError):
            if await answers(f"{url}/readyz"):
                return
        await asyncio.sleep(0.05)


def say(text: str) -> None:
    with suppress(OSError, ValueError):
        click.echo(text, err=True)


def _leave(outcome: int | str) -> NoReturn:
    """Ends the process at once: while the interpreter finalizes, the Temporal SDK can abort it (sdk-python#300)."""
    if isinstance(outcome, str):
        say(outcome)
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(outcome if isinstance(outcome, int) else 1)


if __name__ == "__main__":
    main()
