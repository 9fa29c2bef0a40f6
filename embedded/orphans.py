"""Records which processes a supervisor started, so that the next one can stop them after it was killed."""

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


class Orphan(NamedTuple):
    process: psutil.Process
    stop_signal: int


class PidFile:
    """The file holds its own path: the copy of a data directory must not stop the processes of the original."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._started: dict[str, tuple[int, float, int]] = {}

    def add(self, name: str, pid: int, stop_signal: signal.Signals) -> None:
        with suppress(psutil.NoSuchProcess):
            self._started[name] = (pid, psutil.Process(pid).create_time(), stop_signal)
        self._write()

    def remove(self, name: str) -> None:
        self._started.pop(name, None)
        self._write()

    def orphans(self) -> list[Orphan]:
        """Returns the running processes that an earlier supervisor started and did not stop."""
        return [
            Orphan(process, stop_signal)
            for pid, create_time, stop_signal in self.read().values()
            if (process := _find_process(pid, create_time))
        ]

    def read(self) -> dict[str, tuple[int, float, int]]:
        """Returns pid, create time and stop signal of every part in the file; none if the file is a copy."""
        try:
            content = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        return dict(content["started"]) if content["path"] == str(self._path.resolve()) else {}

    def _write(self) -> None:
        write_private(self._path, json.dumps({"path": str(self._path.resolve()), "started": self._started}))


def _find_process(pid: int, create_time: float) -> psutil.Process | None:
    """Returns the process unless the pid has been reused by another one since."""
    try:
        process = psutil.Process(pid)
        # Not compared exactly: it is computed from the boot time, which moves when the clock is set.
        return process if abs(process.create_time() - create_time) < 2 and is_running(process) else None
    except psutil.NoSuchProcess:
        return None


async def stop_orphans(orphans: Sequence[Orphan], within: float) -> None:
    """Signals them, and kills what still runs after `within` seconds. They are no children of ours: their end is polled."""
    for process, stop_signal in orphans:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(stop_signal)
    deadline = time.monotonic() + within
    while running := [process for process, _ in orphans if is_running(process)]:
        if time.monotonic() > deadline:
            for process in running:
                kill_tree(process.pid)
        await asyncio.sleep(0.05)


def is_running(process: psutil.Process) -> bool:
    """Counts a zombie as ended: in a container, process 1 may never collect the children it inherits."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_tree(pid: int) -> None:
    """Kills the process and its descendants. Not by process group: each process of PostgreSQL has one of its own."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
