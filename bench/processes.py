"""The bench's own processes, and the CPU that every process uses."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import psutil

from bench.load import MEASURED, MEASURING, READY, RoundRequest, RoundResult

LINE_LIMIT = 64 * 1024 * 1024
STOP_WITHIN = 8.0


class BenchError(Exception):
    """Ends the bench; its message is the line that is printed."""


class Child:
    """A Python process of the bench. It ends when its stdin is closed, so that a killed bench leaves none behind."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process

    @classmethod
    async def start(cls, name: str, module: str, *arguments: str, environment: Mapping[str, str]) -> Self:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-u", "-m", module, *arguments),
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_LIMIT,
            start_new_session=True,  # Ctrl-C is for the bench alone: it stops the others, in order
        )
        return cls(name, process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    async def ready(self) -> None:
        await self._expect(READY)

    async def play(self, request: RoundRequest, meter: Callable[[], "Reading"]) -> tuple[RoundResult, "Reading", "Reading"]:
        """Plays a round; returns it with the readings of the meter at the beginning and at the end of the interval."""
        assert self._process.stdin is not None
        self._process.stdin.write(request.model_dump_json().encode() + b"\n")
        await self._expect(MEASURING)
        before = meter()
        await self._expect(MEASURED)
        after = meter()
        return RoundResult.model_validate_json(await self._line()), before, after

    async def stop(self) -> None:
        """Ignores the exit code: the Temporal SDK can abort a process while it finalizes."""
        process = self._process
        assert process.stdin is not None
        process.stdin.close()
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_WITHIN)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _expect(self, word: str) -> None:
        if (line := await self._line()) != word:
            raise BenchError(f"{self.name}: {word!r} was expected, not {line[:200]!r}")

    async def _line(self) -> str:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise BenchError(f"{self.name} ended (exit code {await self._process.wait()}); its output is above")
        return line.decode().strip()


def environment(**variables: str) -> dict[str, str]:
    """Returns the environment for the bench's processes: without the user's own Temporal settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
    return {**kept, "TEMPORAL_CONFIG_FILE": os.devnull, **variables}


@dataclass(frozen=True)
class Reading:
    cpu: Mapping[str, float]
    """CPU seconds since the start of each process"""
    machine: float
    """busy seconds of all CPUs together"""

    def since(self, before: "Reading") -> dict[str, float]:
        """Returns CPU seconds by process; the rest of the machine's is accounted to OTHERS."""
        used = {name: seconds - before.cpu[name] for name, seconds in self.cpu.items()}
        return used | {OTHERS: max(self.machine - before.machine - sum(used.values()), 0.0)}


OTHERS = "others on this machine"


class Meter:
    """Reads the CPU time of processes, each with its descendants, and of this process without them."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}

    def __call__(self) -> Reading:
        cpu = {name: _cpu_of_tree(process) for name, process in self._processes.items()}
        return Reading(cpu=cpu | {"the bench": time.process_time()}, machine=_busy())


def _cpu_of_tree(process: psutil.Process) -> float:
    seconds = 0.0
    # All descendants at once: every listing of children reads all processes of the machine, and adds to its load.
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            # The time of a child that has ended is in its parent's children_user and children_system.
            used = each.cpu_times()
            seconds += used.user + used.system + used.children_user + used.children_system
    return seconds


def _busy() -> float:
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # `user` includes the time of guests.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - guests - idle)
