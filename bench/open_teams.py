"""What a lock costs beside so many open teams, each with its workflow. `python -m bench.open_teams --stack STACK.json`.

Teams are opened step by step; after each step a few callers open and join more of them, one lock after the other.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import psutil
import uvloop
from temporalio.client import Client

from bench import report
from bench.api_client import ApiClient, Json
from bench.crowd import Crowd, crowd
from bench.crowds import parse_numbers
from bench.driver import RunningStack, failures_explained
from bench.load import Stopwatch
from bench.processes import OTHERS, BenchError, Meter
from bench.rounds import percentile
from embedded.process import echo_error, exit_process

OPENERS = 16
FORMING = "TaskQueue = 'groupbuy' AND WorkflowType = 'TeamWorkflow' AND ExecutionStatus = 'Running'"
DAY = 86400
"""seconds: no seat lapses meanwhile"""
SETTLE = 5.0
"""seconds of rest after a step, in which nothing is measured"""


@dataclass(frozen=True)
class Step:
    """Locks of some seconds beside open teams."""

    open_teams: int
    """running workflows of teams, as Temporal counts them"""
    seconds: float
    lock_ms: list[float]
    """sorted"""
    cpu: dict[str, float]
    """CPU seconds by process"""
    idle_cpu: dict[str, float]
    """CPU seconds in each second without any request"""
    memory: dict[str, int]
    """bytes by process with its descendants; what they share is divided among them"""

    def as_json(self) -> Json:
        locks = len(self.lock_ms)
        return {
            "open_teams": self.open_teams,
            "locks": locks,
            "locks_per_second": locks / self.seconds,
            "lock_ms": {f"p{percent}": percentile(self.lock_ms, percent) for percent in (50, 95, 99)},
            "cpu_ms_per_lock": {name: used / locks * 1000 for name, used in self.cpu.items() if name != OTHERS},
            "idle_cores": self.idle_cpu,
            "memory_bytes": self.memory,
        }


class OpenTeams:
    def __init__(self, stack: RunningStack, temporal: Client, there: Crowd, callers: int) -> None:
        self._mall = ApiClient(stack.api_url, stack.mall_key)
        self._temporal = temporal
        self._crowd = there
        self._meter = Meter(stack.pids())
        self._pids = stack.pids()
        self._callers = callers
        self._opened = 0

    async def step(self, offer: Json, until: int, seconds: float) -> Step:
        """Opens teams until there are so many, and measures."""
        numbers = iter(range(self._opened, until))
        await asyncio.gather(*(self._open(numbers, offer) for _ in range(OPENERS)))
        self._opened = max(until, self._opened)
        await self._crowd.until_taken_over(time.perf_counter())
        await asyncio.sleep(SETTLE)
        before = self._meter()
        await asyncio.sleep(SETTLE)
        idle = {name: used / SETTLE for name, used in self._meter().since(before).items() if name != OTHERS}
        stopwatch, end = Stopwatch(), time.perf_counter() + seconds
        before = self._meter()
        stopwatch.start()
        await asyncio.gather(*(self._lock(offer, end, stopwatch) for _ in range(self._callers)))
        took = stopwatch.stop()
        cpu = self._meter().since(before)
        count = (await self._temporal.count_workflows(FORMING)).count
        locks = sorted(value for values in stopwatch.latencies.values() for value in values)
        return Step(count, took, locks, cpu, idle, {name: _memory(pid) for name, pid in self._pids.items()})

    async def _open(self, numbers: Iterator[int], offer: Json) -> None:
        for _ in numbers:
            await self._mall.lock(f"open-{secrets.token_hex(8)}", offer)

    async def _lock(self, offer: Json, end: float, stopwatch: Stopwatch) -> None:
        """Opens a team, and joins it."""
        while time.perf_counter() < end:
            name = f"open-{secrets.token_hex(8)}"
            order = await self._mall.lock(name, offer, None, stopwatch)
            await self._mall.lock(f"{name}-2", offer, order["team_id"], stopwatch)
            self._opened += 1


def _memory(pid: int) -> int:
    process, used = psutil.Process(pid), 0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            used += each.memory_full_info().pss
    return used


async def measure(stack: RunningStack, steps: list[int], callers: int, seconds: float) -> list[Step]:
    temporal = await Client.connect(stack.temporal_address)
    measured = []
    async with crowd(stack) as there:
        bench = OpenTeams(stack, temporal, there, callers)
        offer = await there.offer(3, lock_ttl=DAY)
        for number in sorted({1, *steps}):
            measured.append(await bench.step(offer, number, seconds))
            memory = ", ".join(f"{name} {used / 2**20:.0f} MiB" for name, used in measured[-1].memory.items())
            p50 = percentile(measured[-1].lock_ms, 50)
            echo_error(f"{measured[-1].open_teams} open teams: lock p50 {p50:.0f} ms; {memory}")
        if violations := await there.violations():
            raise BenchError(f"invariants: {violations[:20]}")
    return measured


def summary(measured: list[Step], callers: int) -> str:
    names = list(measured[0].memory)
    rows = []
    for each in measured:
        numbers = [percentile(each.lock_ms, percent) for percent in (50, 95, 99)]
        numbers += [each.cpu[name] / len(each.lock_ms) * 1000 for name in names]
        memory = [f"{each.memory[name] / 2**20:.0f}" for name in names]
        idle = f"{sum(each.idle_cpu.values()):.2f}"
        rows.append([str(each.open_teams), str(len(each.lock_ms)), *(f"{number:.1f}" for number in numbers), idle, *memory])
    head = ["open teams", "locks", "lock ms: p50", "p95", "p99", *(f"CPU ms/lock: {name}" for name in names), "idle cores"]
    head += [f"MiB: {name}" for name in names]
    return "\n".join([f"=== {callers} callers beside open teams ===", "", report.table(head, rows), ""])


@click.command(context_settings={"show_default": True})
@click.option("--stack", "stack_file", type=click.File(), required=True, help="the line of `groupbuy up --json`; - for stdin")
@click.option("--steps", callback=parse_numbers, default="2000,5000,10000", help="open teams, a measurement beside each number")
@click.option("--callers", type=click.IntRange(min=1), default=4, help="concurrent callers")
@click.option("--seconds", type=click.FloatRange(min=1), default=15.0, help="of each measurement")
@click.option("--admission", default="as the stack has it", help="how the stack admits, for the title and the JSON")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="also write the numbers here")
def main(
    *,
    stack_file: Any,  # noqa: ANN401
    steps: list[int],
    callers: int,
    seconds: float,
    admission: str,
    json_file: Path | None,
) -> None:
    """What a lock costs beside more and more open teams, and what these cost: latency, CPU, memory."""
    with failures_explained():
        stack = RunningStack.model_validate_json(stack_file.read())
        measured = uvloop.run(measure(stack, steps, callers, seconds))
    click.echo(f"admission: {admission}\n\n{summary(measured, callers)}")
    if json_file:
        conditions = {"part": "open", "admission": admission, "machine": report.machine(), "callers": callers}
        json_file.write_text(json.dumps({**conditions, "measured": [each.as_json() for each in measured]}, indent=1))
    exit_process(0)


if __name__ == "__main__":
    main()
