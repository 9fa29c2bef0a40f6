"""Which processes we started, on disk: a killed supervisor cannot stop them, so the next one does."""

import asyncio
import json
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from embedded.data_dir import write_private


class Leftover(NamedTuple):
    process: psutil.Process
    stop_signal: int


class PidFile:
    """It names its place: the copy of a data directory names processes that are not the copy's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = str(path.resolve())
        self._recorded: dict[str, tuple[int, float, int]] = {}

    def record(self, name: str, pid: int, stop_signal: signal.Signals) -> None:
        with suppress(psutil.NoSuchProcess):
            self._recorded[name] = (pid, psutil.Process(pid).create_time(), stop_signal)
        self._write()

    def forget(self, name: str) -> None:
        self._recorded.pop(name, None)
        self._write()

    def leftovers(self) -> list[Leftover]:
        """What an earlier supervisor started and did not stop."""
        return [
            Leftover(process, stop_signal)
            for pid, started, stop_signal in self.recorded().values()
            if (process := _same_process(pid, started))
        ]

    def recorded(self) -> dict[str, tuple[int, float, int]]:
        """Pid, start and stop signal of each part that was started from this place and not stopped."""
        try:
            written = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        # A file of the version before named no place.
        return written.get("started", {}) if written.get("place") == self._place else {}

    def _write(self) -> None:
        write_private(self._path, json.dumps({"place": self._place, "started": self._recorded}))


def _same_process(pid: int, started: float) -> psutil.Process | None:
    """A pid alone is no proof: it may belong to a stranger by now, who must not be harmed."""
    try:
        process = psutil.Process(pid)
        # Not exactly: it is computed from the boot time, which moves when the clock is set.
        return process if abs(process.create_time() - started) < 2 and runs(process) else None
    except psutil.NoSuchProcess:
        return None


async def stop_leftovers(leftovers: Sequence[Leftover], within: float) -> None:
    """They are not our children, so nobody tells us when they are gone: we look."""
    for process, stop_signal in leftovers:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(stop_signal)
    deadline = time.monotonic() + within
    while running := [process for process, _ in leftovers if runs(process)]:
        if time.monotonic() > deadline:
            for process in running:
                kill_tree(process.pid)
        await asyncio.sleep(0.05)


def runs(process: psutil.Process) -> bool:
    """Not so a zombie: in a container, process 1 may never collect what we left to it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_tree(pid: int) -> None:
    """The process and all below it. Not by process group: each process of PostgreSQL has one of its own."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
