"""Whole lives of teams: from the first lock until the team's workflow has closed, its callback delivered.

`python -m bench.life --stack STACK.json` drives a running stack of any version through its public API, and learns from its
Temporal when each workflow has closed. STACK.json holds the line that `groupbuy up --json` prints.
"""

import asyncio
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import click
import psutil
import uvloop
from pydantic import BaseModel
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from bench.api_client import TEAM_SIZE, ApiClient, Json
from bench.callback_receiver import listening
from bench.floor import play_bare
from bench.load import Stopwatch
from bench.processes import OTHERS, BenchError, Child, Meter, environment
from bench.report import table
from bench.rounds import percentile
from embedded.ports import HOST, free_port
from embedded.process import exit_process
from workflows.client import data_converter_of

REFUND_WINDOW = 1
"""seconds, after which the workflow of a completed team closes"""
CLOSED_WITHIN = 120.0
STARTED_EVERY = 0.25
"""seconds after which it is looked again whether a workflow has been started"""
WARM_UP_TEAMS = 30

Play = Callable[[str, Stopwatch], Awaitable[str]]
"""Plays one team under this name, up to its last payment; returns the id of its workflow."""


class RunningStack(BaseModel):
    """The part of `groupbuy up --json` that the driver needs; other names are ignored."""

    api_url: str
    temporal_address: str
    database_url: str
    mall_key: str
    ops_key: str
    worker_pids: list[int]

    def pids(self) -> dict[str, int]:
        """The pid of each process that the supervisor of this stack started, by its name."""
        supervisor = psutil.Process(self.worker_pids[0]).parent()
        assert supervisor is not None
        # This driver is among the children when `python -m bench` has started both.
        return {_process_name(process): process.pid for process in supervisor.children() if process.pid != os.getpid()}


def _process_name(process: psutil.Process) -> str:
    command = process.cmdline()
    return command[command.index("-m") + 1] if "-m" in command else Path(command[0]).name


@dataclass(frozen=True)
class Lives:
    """One round of one side."""

    side: str
    teams: int
    seconds: float
    """from the first lock until the last workflow has closed"""
    traded_seconds: float
    """from the first lock until the last payment was answered"""
    lock_ms: list[float] = field(repr=False)
    """sorted latencies; of the floor: its updates"""
    cpu: dict[str, float]
    """CPU seconds by process"""

    @property
    def rate(self) -> float:
        """Teams per second."""
        return self.teams / self.seconds

    @property
    def traded_rate(self) -> float:
        """Teams per second, as their buyers see it: the workflows may close later."""
        return self.teams / self.traded_seconds

    @property
    def cpu_ms(self) -> float:
        """CPU of a team in all processes of the stack and the driver."""
        return sum(used for name, used in self.cpu.items() if name != OTHERS) / self.teams * 1000

    def as_json(self) -> dict[str, Any]:
        return {
            "side": self.side,
            "teams": self.teams,
            "seconds": self.seconds,
            "teams_per_second": self.rate,
            "teams_traded_per_second": self.traded_rate,
            "lock_ms": {f"p{percent}": percentile(self.lock_ms, percent) for percent in (50, 95, 99)},
            "cpu_ms_per_team": self.cpu_ms,
            "cpu_ms_per_team_by_process": {name: used / self.teams * 1000 for name, used in self.cpu.items()},
        }


class Driver:
    """Plays teams against one stack with so many concurrent callers."""

    def __init__(self, temporal: Client, meter: Meter, callers: int) -> None:
        self._temporal = temporal
        self._meter = meter
        self._callers = callers

    async def measure(self, side: str, play: Play, teams: int) -> Lives:
        """Callers go on to their next team while workflows close; all have closed when this returns.

        Raises:
            BenchError: a workflow failed, or was still open CLOSED_WITHIN seconds after its last payment.
        """
        run = secrets.token_hex(4)
        stopwatch = Stopwatch()
        numbers = iter(range(teams))
        traded_at = 0.0
        before = self._meter()
        began = time.perf_counter()
        stopwatch.start()
        async with asyncio.TaskGroup() as group:

            async def caller() -> None:
                nonlocal traded_at
                for number in numbers:
                    workflow_id = await play(f"life-{run}-{number}", stopwatch)
                    traded_at = time.perf_counter()
                    group.create_task(self._until_closed(workflow_id))

            for _ in range(self._callers):
                group.create_task(caller())
        seconds = stopwatch.stop()
        cpu = self._meter().since(before)
        locks = (values for kind, values in stopwatch.latencies.items() if kind != "payment")
        return Lives(side, teams, seconds, traded_at - began, sorted(each for values in locks for each in values), cpu)

    async def _until_closed(self, workflow_id: str) -> None:
        try:
            async with asyncio.timeout(CLOSED_WITHIN):
                await self._result(workflow_id)
        except TimeoutError:
            raise BenchError(f"{workflow_id} was still open {CLOSED_WITHIN:g} s after its last payment") from None
        except WorkflowFailureError as error:
            raise BenchError(f"{workflow_id} did not complete: {error.cause}") from None

    async def _result(self, workflow_id: str) -> None:
        while True:
            try:
                # One long poll for each team: visibility is too late to say when, and costs more to ask often.
                await self._temporal.get_workflow_handle(workflow_id).result()
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise
            else:
                return
            await asyncio.sleep(STARTED_EVERY)  # a team that was opened directly has no workflow at first


@asynccontextmanager
async def team_play(stack: RunningStack) -> AsyncIterator[tuple[Play, Callable[[], None]]]:
    """Yields the play of teams in a campaign of their own, and a check that every team played had its callback."""
    mall, ops = ApiClient(stack.api_url, stack.mall_key), ApiClient(stack.api_url, stack.ops_key)
    goods_id = f"bench-life-{secrets.token_hex(4)}"
    offer = await ops.create_campaign(goods_id, TEAM_SIZE, refund_window=REFUND_WINDOW)
    port = free_port()
    offer["callback"] = {"kind": "http", "url": f"http://{HOST}:{port}/"}
    played: set[str] = set()
    called_back: set[str] = set()

    def on_callback(body: bytes) -> None:
        event: Json = json.loads(body)
        if event["type"] == "team.completed":
            called_back.add(event["data"]["team_id"])

    async def play(name: str, stopwatch: Stopwatch) -> str:
        team = await mall.complete_team(name, offer, stopwatch)
        played.add(team["team_id"])
        return str(team["workflow"]["id"])

    def check_callbacks() -> None:
        if missing := played - called_back:
            raise BenchError(f"{len(missing)} workflows closed without their callback, among them {min(missing)}")

    async with listening(port, on_callback):
        yield play, check_callbacks


async def drive(
    stack: RunningStack, *, teams: int, callers: int, rounds: int, floor: bool, report: Callable[[Lives], None]
) -> list[Lives]:
    """Measures rounds of teams; with `floor`, in turns with as many bare workflows on the same Temporal."""
    temporal = await Client.connect(stack.temporal_address, data_converter=data_converter_of(os.environ))
    pids = stack.pids()
    measured: list[Lives] = []
    async with AsyncExitStack() as cleanup:
        play_team, check_callbacks = await cleanup.enter_async_context(team_play(stack))
        sides: dict[str, Play] = {"teams": play_team}
        if floor:
            variables = environment(TEMPORAL_ADDRESS=stack.temporal_address)
            worker = await Child.start("floor: worker", "bench.floor", "worker", environment=variables)
            cleanup.push_async_callback(worker.stop)
            await worker.ready()
            pids[worker.name] = worker.pid

            async def play_floor(name: str, stopwatch: Stopwatch) -> str:
                return await play_bare(temporal, name, stopwatch)

            sides = {"floor": play_floor, **sides}
        driver = Driver(temporal, Meter(pids), callers)
        for side, play in sides.items():
            await driver.measure(side, play, WARM_UP_TEAMS)
        for _ in range(rounds):
            for side, play in sides.items():
                measured.append(await driver.measure(side, play, teams))
                report(measured[-1])
        check_callbacks()
    return measured


def summary(measured: list[Lives], callers: int) -> str:
    """Medians of the rounds of each side."""
    names = list(dict.fromkeys(name for lives in measured for name in lives.cpu if name != OTHERS))
    rows = []
    for side in dict.fromkeys(lives.side for lives in measured):
        rounds = [lives for lives in measured if lives.side == side]
        numbers = [median(lives.rate for lives in rounds)]
        numbers += [median(percentile(lives.lock_ms, percent) for lives in rounds) for percent in (50, 99)]
        numbers += [median(lives.cpu_ms for lives in rounds)]
        numbers += [median(lives.cpu.get(name, 0) / lives.teams * 1000 for lives in rounds) for name in names]
        rows.append([side, *(f"{number:.1f}" for number in numbers)])
    teams = measured[0].teams
    title = f"=== whole lives: {teams} teams, {callers} callers, until every workflow has closed; medians of the rounds ==="
    head = ["", "teams/s", "lock ms: p50", "p99", "CPU ms/team", *names]
    return "\n".join([title, "", table(head, rows), ""])


@click.command(context_settings={"show_default": True})
@click.option("--stack", "stack_file", type=click.File(), required=True, help="the line of `groupbuy up --json`; - for stdin")
@click.option("--teams", type=click.IntRange(min=1), default=300, help="of a round")
@click.option("--callers", type=click.IntRange(min=1), default=16, help="concurrent callers")
@click.option("--rounds", type=click.IntRange(min=1), default=1)
@click.option("--floor", is_flag=True, help="in turns with bare workflows on the stack's Temporal")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="also write the numbers here")
def main(*, stack_file: Any, teams: int, callers: int, rounds: int, floor: bool, json_file: Path | None) -> None:  # noqa: ANN401
    """Whole lives of teams of three on a running stack: teams/s, latency of locks, CPU of every process.

    A team counts when its workflow has closed: after its refund window of a second, and with its callback delivered.
    """

    def report(lives: Lives) -> None:
        click.echo(f"{lives.side}: {lives.rate:.1f} teams/s, {lives.cpu_ms:.0f} ms of CPU per team", err=True)

    try:
        stack = RunningStack.model_validate_json(stack_file.read())
        measured = uvloop.run(drive(stack, teams=teams, callers=callers, rounds=rounds, floor=floor, report=report))
    except (BenchError, OSError, ValueError, psutil.NoSuchProcess) as error:
        exit_process(f"bench: {error}")
    except ExceptionGroup as errors:
        exit_process(f"bench: {errors.exceptions[0]}")
    click.echo(summary(measured, callers))
    if json_file:
        json_file.write_text(json.dumps([lives.as_json() for lives in measured], indent=1))
    exit_process(0)


if __name__ == "__main__":
    main()
