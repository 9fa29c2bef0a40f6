"""Plays whole lives of teams: from the first lock until the team's workflow has closed."""

import asyncio
import os
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from bench.load import Stopwatch
from bench.processes import OTHERS, BenchError, Meter
from bench.rounds import percentile
from embedded.process import exit_process

CLOSED_WITHIN = 120.0
STARTED_EVERY = 0.25
"""seconds after which it is looked again whether a workflow has been started"""
WARM_UP_TEAMS = 30

Play = Callable[[str, Stopwatch], Awaitable[str]]
"""Plays one team under this name, up to its last payment; returns the id of its workflow."""


class RunningStack(BaseModel):
    """The part of `groupbuy up --json` that the driver needs; other names are ignored."""

    api_url: str
    more_api_urls: list[str] = []
    """of further API processes, where the bench has started some"""
    temporal_address: str
    database_url: str
    mall_key: str
    ops_key: str
    worker_pids: list[int]

    def pids(self) -> dict[str, int]:
        """The pid of each process that the supervisor of this stack started, by its name."""
        supervisor = psutil.Process(self.worker_pids[0]).parent()
        assert supervisor is not None
        pids: dict[str, int] = {}
        same: Counter[str] = Counter()
        for process in supervisor.children():
            # This driver is among the children when `python -m bench` has started both.
            if process.pid != os.getpid():
                name = _process_name(process)
                same[name] += 1
                pids[name if same[name] == 1 else f"{name} {same[name]}"] = process.pid
        return pids


@contextmanager
def failures_explained() -> Iterator[None]:
    """Ends the process with a message where a measurement could not be made."""
    try:
        yield
    except (BenchError, OSError, ValueError, psutil.NoSuchProcess) as error:
        exit_process(f"bench: {error}")
    except ExceptionGroup as errors:
        exit_process(f"bench: {errors.exceptions[0]}")


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


async def _nothing(*_: str) -> None:
    pass


class Driver:
    """Plays teams against one stack with so many concurrent callers."""

    def __init__(
        self,
        meter: Meter,
        callers: int,
        closed: Callable[[str], Awaitable[None]] = _nothing,
        all_closed: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        """
        Args:
            meter: of the CPU.
            callers: how many.
            closed: waits until the workflow with this id has closed.
            all_closed: waits until everything has, where that is asked once.
        """
        self._meter = meter
        self._callers = callers
        self._closed = closed
        self._all_closed = all_closed

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
        await self._all_closed()
        seconds = stopwatch.stop()
        cpu = self._meter().since(before)
        locks = (values for kind, values in stopwatch.latencies.items() if kind != "payment")
        return Lives(side, teams, seconds, traded_at - began, sorted(each for values in locks for each in values), cpu)

    async def _until_closed(self, workflow_id: str) -> None:
        try:
            async with asyncio.timeout(CLOSED_WITHIN):
                await self._closed(workflow_id)
        except TimeoutError:
            raise BenchError(f"{workflow_id} was still open {CLOSED_WITHIN:g} s after its last payment") from None
        except WorkflowFailureError as error:
            raise BenchError(f"{workflow_id} did not complete: {error.cause}") from None


def until_workflow_closed(temporal: Client) -> Callable[[str], Awaitable[None]]:
    """Returns what waits for the end of a workflow, by its id."""

    async def wait(workflow_id: str) -> None:
        while True:
            try:
                # One long poll for each team: visibility is too late to say when, and costs more to ask often.
                await temporal.get_workflow_handle(workflow_id).result()
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise
            else:
                return
            await asyncio.sleep(STARTED_EVERY)  # a team that was opened directly has no workflow at first

    return wait
