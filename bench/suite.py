"""The whole benchmark: the floor and ours, in turns, on a stack of its own."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import asyncpg
from temporalio.client import Client

from activities.callbacks.per_mall_limit import CONCURRENT_ATTEMPTS
from bench import report
from bench.api_client import TEAM_SIZE, ApiClient
from bench.callbacks import CallbackBench, CallbackResult, broker, broker_address
from bench.load import RoundRequest
from bench.market import CAMPAIGNS, TEAMS_PER_CAMPAIGN, seed
from bench.outcome import read_outcome, until_delivered
from bench.processes import BenchError, Child, Meter, environment
from bench.refunds import RefundBench, RefundResult
from bench.rounds import Measured, Pair, Side, total
from domain.schemas.malls import MallFields
from embedded.http import responds
from embedded.plan import Options
from embedded.ports import HOST, free_port
from embedded.process import echo_error
from embedded.stack import Stack
from workflows.client import data_converter_of

MeasuredT = TypeVar("MeasuredT")

WARM_UP_SECONDS = 5.0
WARM_UP_CALLERS = 16
QUOTE_CALLERS = 16
ORDERS_PER_SECOND = 9
"""orders of each kind of refund, per second that a round is long"""


SUITE_PARTS = ("quotes", "refunds", "callbacks")


@dataclass(frozen=True, kw_only=True)
class Plan:
    seconds: float
    rounds: int
    callers: list[int]
    only: str | None
    """one of SUITE_PARTS; None: all"""
    json_file: Path | None


class Suite:
    def __init__(self, plan: Plan, cleanup: AsyncExitStack) -> None:
        self._plan = plan
        self._cleanup = cleanup
        self._rounds_played = 0
        self._drained_within = 0.0
        self._teams: list[Side] = []

    async def run(self, directory: Path) -> int:
        """Prints each table as soon as it is measured; returns the exit code."""
        await self._start(directory / "stack")
        print(report.machine(), flush=True)
        print()
        echo_error("warming up")
        await self._measure_teams(WARM_UP_CALLERS, WARM_UP_SECONDS, 1)
        pairs: list[Pair] = []
        for callers in self._plan.callers[: 1 if self._plan.only else None]:
            if self._plan.only != "quotes":
                pairs.append(await self._measure_teams(callers, self._plan.seconds, self._plan.rounds))
                print(report.updates(pairs[-1]), flush=True)
        pairs += await self._part("quotes", self._measure_quotes) or []
        refunds = await self._part("refunds", partial(self._measure_refunds, pairs)) or []
        callbacks = await self._part("callbacks", partial(self._measure_callbacks, pairs)) or []
        pairs += await self._part("quotes", self._measure_quotes_of_many) or []
        played = total(self._teams) + sum(len(each.delays) for each in callbacks)
        outcome = await read_outcome(self._database, self._client, self._ops, played)
        print(report.end(outcome, self._drained_within), flush=True)
        if self._plan.json_file:
            self._plan.json_file.write_text(json.dumps(report.as_json(pairs, refunds, callbacks, outcome), indent=1))
        return 0 if outcome.is_good else 1

    async def _part(self, name: str, measure: Callable[[], Awaitable[MeasuredT]]) -> MeasuredT | None:
        return await measure() if self._plan.only in {None, name} else None

    async def _measure_quotes(self) -> list[Pair]:
        await seed(self._database, 0, 0)
        pairs = await self._measure_routes(quotes="quote", market="market")
        print(report.bare_route(pairs), flush=True)
        return pairs

    async def _measure_quotes_of_many(self) -> list[Pair]:
        many = f", {CAMPAIGNS} campaigns with {CAMPAIGNS * TEAMS_PER_CAMPAIGN} teams"
        echo_error(f"seeding{many[1:]}")
        await seed(self._database, 1, CAMPAIGNS - 1)
        pairs = await self._measure_routes(quotes="quote_of_many", market="market_of_many")
        print(report.bare_route(pairs, many), flush=True)
        return pairs

    async def _measure_refunds(self, pairs: list[Pair]) -> list[RefundResult]:
        echo_error("refunds")
        bench = RefundBench(self._mall, self._ops, self._database, self._meter)
        refunds = await bench.each_kind(round(self._plan.seconds * ORDERS_PER_SECOND))
        refunds.append(await bench.failed_team())
        print(report.refunds(refunds, pairs[0].base), flush=True)
        return refunds

    async def _start(self, data_dir: Path) -> None:
        self._broker = await self._cleanup.enter_async_context(broker())
        if self._broker is None:
            echo_error(f"no RabbitMQ answers at {broker_address()}: callbacks over it are left out")
        options = Options(data_dir=data_dir, amqp_url=self._broker)
        stack = await self._cleanup.enter_async_context(Stack(options, echo_error))
        addresses = stack.addresses
        self._environment = environment(
            TEMPORAL_ADDRESS=addresses.temporal_address, GROUPBUY_DATABASE_URL=addresses.database_url
        )
        if addresses.temporal_ui_url:
            self._environment["GROUPBUY_TEMPORAL_UI_URL"] = addresses.temporal_ui_url
        api_url, key = addresses.api_url, addresses.mall_key
        mall_port, bare_port = str(free_port()), str(free_port())
        self._mall_url, bare_url = f"http://{HOST}:{mall_port}/", f"http://{HOST}:{bare_port}"

        floor_worker = await self._start_child("floor: worker", "bench.floor", "worker")
        self._floor_callers = await self._start_child("floor: callers", "bench.floor", "callers")
        self._team_callers = await self._start_child("ours: callers", "bench.mall_load", api_url, key)
        self._quote_callers = await self._start_child("quotes: callers", "bench.mall_load", bare_url, key)
        receiver = await self._start_child("callbacks: mall", "bench.callback_receiver", mall_port)
        destinations = [self._mall_url, *filter(None, [self._broker])]
        self._callback_floor = await self._start_child("callbacks: bare", "bench.callback_floor", *destinations)
        bare_api = await self._start_child("quotes: API", "bench.bare_route", bare_port)
        loads = (self._floor_callers, self._team_callers, self._quote_callers, self._callback_floor)
        for child in (floor_worker, receiver, *loads):
            await child.ready()
        await until_up(bare_api, bare_url)

        parts = ("temporal", "postgres", "worker-1", "api")
        pids = {name: stack.part(name).pid or 0 for name in parts} | {"mall": receiver.pid}
        children = (self._team_callers, floor_worker, self._floor_callers)
        self._meter = Meter(pids | {child.name: child.pid for child in children})
        quote_pids = {child.name: child.pid for child in (bare_api, self._quote_callers)}
        self._quotes_meter = Meter({"postgres": pids["postgres"]} | quote_pids)
        echo_error(f"pids: {', '.join(f'{name} {pid}' for name, pid in (pids | quote_pids).items())}")

        self._database = await asyncpg.connect(addresses.database_url)
        self._cleanup.push_async_callback(self._database.close)
        self._mall, self._ops = ApiClient(api_url, addresses.mall_key), ApiClient(api_url, addresses.ops_key)
        await self._send_callbacks_to(self._mall_url)
        self._client = await Client.connect(addresses.temporal_address, data_converter=data_converter_of(os.environ))

    async def _send_callbacks_to(self, url: str) -> None:
        """Replaces the demo mall: what a mall does with a callback is not what is measured."""
        [mall] = (await self._ops.get("/v1/ops/malls"))["data"]
        fields = {name: mall[name] for name in MallFields.model_fields}
        await self._ops.put(f"/v1/ops/malls/{mall['source']}", fields | {"callback": {"kind": "http", "url": url}})

    async def _start_child(self, name: str, module: str, *arguments: str) -> Child:
        child = await Child.start(name, module, *arguments, environment=self._environment)
        self._cleanup.push_async_callback(child.stop)
        return child

    async def _measure_teams(self, callers: int, seconds: float, rounds: int) -> Pair:
        """Teams in turns with the floor."""
        base, ours = [], []
        for number in range(1, rounds + 1):
            base.append(await self._round(self._floor_callers, "bare", self._meter, callers, seconds))
            ours.append(await self._round(self._team_callers, "team", self._meter, callers, seconds))
            self._drained_within = max(self._drained_within, await until_delivered(self._database))
            echo_error(f"{callers} callers, round {number}: floor {base[-1].rate:.0f}/s, ours {ours[-1].rate:.0f}/s")
        pair = Pair(callers, Side("floor", base), Side("ours", ours))
        self._teams.append(pair.ours)
        return pair

    async def _measure_routes(self, **plays: str) -> list[Pair]:
        """Each of these plays, by the name of its side, in turns with the bare route."""
        sides: dict[str, list[Measured]] = {play: [] for play in ("bare", *plays.values())}
        seconds = self._plan.seconds / 2
        for play in sides:
            await self._round(self._quote_callers, play, self._quotes_meter, QUOTE_CALLERS, min(seconds, 1))
        for number in range(1, self._plan.rounds + 1):
            for play, rounds in sides.items():
                rounds.append(await self._round(self._quote_callers, play, self._quotes_meter, QUOTE_CALLERS, seconds))
            rates = ", ".join(f"{play} {rounds[-1].rate:.0f}/s" for play, rounds in sides.items())
            echo_error(f"{QUOTE_CALLERS} callers, round {number}: {rates}")
        bare = Side("bare route", sides["bare"])
        return [Pair(QUOTE_CALLERS, bare, Side(name, sides[play])) for name, play in plays.items()]

    async def _measure_callbacks(self, pairs: list[Pair]) -> list[CallbackResult]:
        """Over HTTP, and over RabbitMQ where there is one; delays at half the rate of teams that the first pair reached."""
        bench = CallbackBench(self._mall, self._client, self._database, self._mall_url)
        teams_per_second = pairs[0].ours.rate / (2 * TEAM_SIZE) / 2
        results = []
        for kind in ("http", "amqp") if self._broker else ("http",):
            echo_error(f"callbacks over {kind}")

            async def bare_rate(kind: str = kind) -> float:
                return (
                    await self._round(self._callback_floor, kind, self._meter, CONCURRENT_ATTEMPTS, self._plan.seconds / 2)
                ).rate

            results.append(await bench.measure(kind, self._plan.seconds, bare_rate, teams_per_second))
        print(report.callbacks(results), flush=True)
        return results

    async def _round(self, child: Child, play: str, meter: Meter, callers: int, seconds: float) -> Measured:
        self._rounds_played += 1
        request = RoundRequest(name=f"r{self._rounds_played}", play=play, callers=callers, seconds=seconds)
        result, before, after = await child.play(request, meter)
        return Measured(result, after.since(before))


async def until_up(child: Child, url: str) -> None:
    while True:
        if not child.is_running:
            raise BenchError(f"{child.name} ended before it was ready; its output is above")
        with suppress(OSError):
            if await responds(f"{url}/readyz"):
                return
        await asyncio.sleep(0.05)
