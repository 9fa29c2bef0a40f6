"""Runs programs as child processes: starts them, waits until they are ready, restarts those that die, stops them."""

import asyncio
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from embedded.errors import StackError
from embedded.orphans import PidFile, kill_tree

READY_WITHIN = 60.0
PROBE_EVERY = 0.05
PROBE_WITHIN = 2.0
FIRST_RESTART_AFTER = 0.5
LAST_RESTART_AFTER = 30.0
LOG_LIMIT = 10_000_000

Report = Callable[[str], None]
"""Gets one line for the person at the terminal."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to execute, as which user, and how to stop it."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    cwd: Path
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within: float = 2.0


@dataclass(frozen=True)
class Part:
    """A program that is kept running. `is_ready` is polled until it returns true; it gets the output of the process."""

    program: Program
    is_ready: Callable[[str], Awaitable[bool]]


class Supervised:
    """A program, the process that runs it now, and its log."""

    def __init__(self, program: Program, logs: Path, pids: PidFile) -> None:
        self.program = program
        self.log = logs / f"{program.name}.log"
        self._pids = pids
        self._process: asyncio.subprocess.Process | None = None
        self._log_begin = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    @property
    def name(self) -> str:
        return self.program.name

    async def spawn(self) -> asyncio.subprocess.Process:
        program = self.program
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.old"))
        # The process writes to the file itself: it can outlive us without a broken pipe, and our event loop copies nothing.
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._log_begin = os.fstat(descriptor).st_size
            self._process = await asyncio.create_subprocess_exec(
                *program.command,
                env=program.environment,
                cwd=program.cwd,
                user=program.user,
                group=program.user,
                extra_groups=[] if program.user else None,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                umask=0o077,  # state and logs hold personal data
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops the parts in order
            )
        except FileNotFoundError as error:
            raise StackError(f"{self.name}: {error.filename} is missing") from None
        finally:
            os.close(descriptor)
        self._pids.add(self.name, self._process.pid, program.stop_signal)
        return self._process

    async def stop(self) -> bool:
        """Stops the process; returns False if it had to be killed.

        Ignores the exit code: the Temporal SDK can abort a process while it finalizes.
        """
        process = self._process
        if process is None:
            return True
        with suppress(ProcessLookupError):
            process.send_signal(self.program.stop_signal)
        try:
            await asyncio.wait_for(process.wait(), self.program.stop_within)
        except TimeoutError:
            kill_tree(process.pid)
            await process.wait()
            return False
        finally:
            if process.returncode is not None:
                self._process = None
                self._pids.remove(self.name)
        return True

    def output(self) -> str:
        """Returns what the process has written since it was spawned."""
        with self.log.open("rb") as file:
            file.seek(self._log_begin)
            return file.read().decode(errors="replace")

    def explain_exit(self, returncode: int) -> str:
        """Returns how it ended and, if not by a signal, the line of its log that most likely says why."""
        if returncode < 0:
            return f"killed by {signal.Signals(-returncode).name} (see {self.log})"
        lines = [line.strip() for line in self.output().splitlines() if line.strip()]
        errors = [line for line in lines if re.search(r"\b(FATAL|PANIC|[\w.]*(Error|Exception|Exit)):", line)]
        return f"exit code {returncode}: {(errors or lines or ['no output'])[-1]} (see {self.log})"


class Keeper(Supervised):
    """Keeps a part running from `start` to `stop`."""

    def __init__(self, part: Part, logs: Path, pids: PidFile, report: Report, on_ready: Callable[[], None]) -> None:
        super().__init__(part.program, logs, pids)
        self._is_ready = part.is_ready
        self._report = report
        self._on_ready = on_ready
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when the part is ready; from then on it is restarted whenever it dies.

        Raises:
            StackError: it ended, or was not ready within READY_WITHIN.
        """
        process = await self._launch()
        self._watching = asyncio.create_task(self._watch(process), name=f"watch {self.name}")

    async def stop(self) -> bool:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
            self._watching = None
        stopped = await super().stop()
        if not stopped:
            self._report(f"{self.name} did not stop within {self.program.stop_within:g} s and was killed")
        return stopped

    async def _launch(self) -> asyncio.subprocess.Process:
        process = await self.spawn()
        deadline = time.monotonic() + READY_WITHIN
        while True:
            ready = await self._probe()
            # Checked after the probe, which another process may have answered that took the port first.
            if process.returncode is not None:
                raise StackError(f"{self.name} ended before it was ready, {self.explain_exit(process.returncode)}")
            if ready:
                self._on_ready()
                return process
            if time.monotonic() > deadline:
                await super().stop()
                raise StackError(f"{self.name} was not ready within {READY_WITHIN:.0f} s (see {self.log})")
            await asyncio.sleep(PROBE_EVERY)

    async def _probe(self) -> bool:
        try:
            return await asyncio.wait_for(self._is_ready(self.output()), PROBE_WITHIN)
        except (OSError, TimeoutError):
            return False

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        delay = FIRST_RESTART_AFTER
        while True:
            started = time.monotonic()
            code = await process.wait()
            if time.monotonic() - started > LAST_RESTART_AFTER:
                delay = FIRST_RESTART_AFTER
            problem = f"{self.name} died, {self.explain_exit(code)}"
            while True:
                self._report(f"{problem}; starting it again in {delay:g} s")
                await asyncio.sleep(delay)
                delay = min(2 * delay, LAST_RESTART_AFTER)
                try:
                    process = await self._launch()
                except StackError as error:
                    problem = str(error)
                else:
                    break
            self._report(f"{self.name} is up again, pid {process.pid}")


class Supervisor:
    """The parts of one stack. `on_ready` is called whenever a part has become ready."""

    def __init__(self, logs: Path, pids: PidFile, report: Report, on_ready: Callable[[], None]) -> None:
        self._logs = logs
        self._pids = pids
        self._report = report
        self._on_ready = on_ready
        self._keepers: dict[str, Keeper] = {}

    async def run(self, program: Program) -> None:
        """Runs the program to its end.

        Raises:
            StackError: its exit code is not 0.
        """
        once = Supervised(program, self._logs, self._pids)
        process = await once.spawn()
        try:
            code = await process.wait()
        finally:
            # Also when this task is cancelled.
            await once.stop()
        if code:
            raise StackError(f"{program.name} failed, {once.explain_exit(code)}")

    async def start(self, part: Part) -> None:
        keeper = Keeper(part, self._logs, self._pids, self._report, self._on_ready)
        self._keepers[part.program.name] = keeper
        await keeper.start()

    def __getitem__(self, name: str) -> Keeper:
        return self._keepers[name]

    def __contains__(self, name: str) -> bool:
        return name in self._keepers

    async def stop(self, *names: str) -> None:
        """Stops these parts at the same time, each within its own limit."""
        keepers = [self._keepers[name] for name in names if name in self._keepers]
        await asyncio.gather(*(keeper.stop() for keeper in keepers))
