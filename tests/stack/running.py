"""Runs `groupbuy up` as a process, with arguments, signals and output."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import psutil

from embedded.orphans import PidFile, stop_orphans

GROUPBUY = Path(sys.executable).with_name("groupbuy")
FREE_PORTS = {"--api-port": 0, "--legacy-port": 0, "--temporal-port": 0, "--ui-port": 0, "--mall-port": 0}


def until(condition: Callable[[], object], within: float = 60) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


async def eventually(condition: Callable[[], object], within: float = 60) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - polls another process
            await asyncio.sleep(0.02)


class Up:
    """One process of `groupbuy up`."""

    def __init__(
        self,
        data_dir: Path,
        *flags: str,
        environment: Mapping[str, str] | None = None,
        stdout: int | None = None,
        python: Path = Path(sys.executable),
    ) -> None:
        self.data_dir = data_dir
        self._stdout: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in end()
        self._stderr: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115
        named = {flag.split("=")[0] for flag in flags}
        ports = [f"{flag}={port}" for flag, port in FREE_PORTS.items() if flag not in named]
        # Addresses in the environment of the tests would replace the servers that are to be tested.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GROUPBUY_", "TEMPORAL_", "PG"))}
        self.process = subprocess.Popen(
            [python, GROUPBUY, "up", f"--data-dir={data_dir}", *ports, *flags],
            stdin=subprocess.DEVNULL,
            stdout=self._stdout if stdout is None else stdout,
            stderr=self._stderr,
            env={**inherited, **(environment or {})},
        )

    @property
    def stdout(self) -> str:
        return _content(self._stdout)

    @property
    def stderr(self) -> str:
        return _content(self._stderr)

    def wait(self, condition: Callable[[], object]) -> None:
        """Waits for the condition; fails if the process ends before."""
        until(lambda: self.process.poll() is not None or condition())
        assert self.process.poll() is None, self.stderr

    def json(self) -> dict[str, Any]:
        """Waits until all is ready; returns the line of `--json`."""
        self.wait(lambda: self.stdout.endswith("\n"))
        return dict(json.loads(self.stdout))

    def parts(self) -> dict[str, int]:
        """Returns the pid of each part that was started and not stopped."""
        return {name: pid for name, (pid, *_) in PidFile(self.data_dir / "pids.json").read().items()}

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, signum: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Returns the exit code and the seconds that stopping took."""
        began = time.monotonic()
        self.process.send_signal(signum)
        return self.process.wait(timeout=30), time.monotonic() - began

    def startup_error(self) -> str:
        """Waits for the failed start to end; returns what it has written to stderr."""
        assert self.process.wait(timeout=30) != 0
        assert self.stdout == ""
        return self.stderr

    def end(self) -> None:
        """Stops the process and whatever it has left running."""
        if self.process.poll() is None:
            self.stop()
        asyncio.run(stop_orphans(PidFile(self.data_dir / "pids.json").orphans(), within=10))
        self._stdout.close()
        self._stderr.close()


def _content(file: IO[str]) -> str:
    # Not file.read(): the file offset is shared with the process that writes.
    return os.pread(file.fileno(), 1_000_000, 0).decode()
