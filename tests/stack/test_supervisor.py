"""Supervision, with programs of a line or two."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from embedded.errors import StackError
from embedded.orphans import PidFile, is_running, stop_orphans
from embedded.supervisor import Part, Program, Supervisor
from tests.stack.running import eventually


async def said_ready(output: str) -> bool:
    return "ready" in output.splitlines()


class Bench:
    """A supervisor, and what it has said."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.said: list[str] = []
        self.pids = directory / "pids.json"
        self.supervisor = Supervisor(directory, PidFile(self.pids), self.said.append, lambda: None)

    def program(self, code: str, name: str = "part", stop_within: float = 10) -> Program:
        return Program(
            name=name,
            command=[sys.executable, "-u", "-c", code],
            environment=os.environ,
            cwd=self.directory,
            stop_within=stop_within,
        )

    async def start(self, code: str, *, is_ready: Callable[[str], Awaitable[bool]] = said_ready, **options: float) -> int:
        await self.supervisor.start(Part(self.program(code, **options), is_ready))  # type: ignore[arg-type]
        pid = self.supervisor["part"].pid
        assert pid
        return pid


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


STAYS = "import time; print('ready'); time.sleep(600)"


async def test_start_returns_when_ready_and_stop_when_gone(bench: Bench) -> None:
    pid = await bench.start(STAYS)
    assert psutil.pid_exists(pid)
    await bench.supervisor.stop("part")
    assert not psutil.pid_exists(pid)
    assert bench.said == []
    assert PidFile(bench.pids).orphans() == []


async def test_what_dies_is_restarted_and_said_so(bench: Bench) -> None:
    first = await bench.start(STAYS)
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: len(bench.said) == 2)
    second = bench.supervisor["part"].pid
    assert second not in (None, first)
    assert bench.said[0].startswith("part died, killed by SIGKILL")
    assert bench.said[1] == f"part is up again, pid {second}"
    await bench.supervisor.stop("part")


async def test_what_does_not_come_up_again_is_tried_again_later(bench: Bench) -> None:
    first = await bench.start("import os, time\nif os.path.exists('broken'): exit('no: broken')\n" + STAYS)
    (bench.directory / "broken").touch()
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: len(bench.said) == 2)
    assert "exit code 1: no: broken" in bench.said[1]
    assert bench.said[1].endswith("starting it again in 1 s")
    (bench.directory / "broken").unlink()
    await eventually(lambda: bench.supervisor["part"].pid and "up again" in bench.said[-1])
    await bench.supervisor.stop("part")


async def test_a_part_can_be_stopped_while_it_waits_for_its_restart(bench: Bench) -> None:
    os.kill(await bench.start(STAYS), signal.SIGKILL)
    await eventually(lambda: bench.said)
    await bench.supervisor.stop("part")
    assert bench.supervisor["part"].pid is None
    assert PidFile(bench.pids).orphans() == []


async def test_a_stopped_part_can_be_started_again(bench: Bench) -> None:
    first = await bench.start(STAYS)
    await bench.supervisor.stop("part")
    await bench.supervisor["part"].start()
    assert bench.supervisor["part"].pid not in (None, first)
    await bench.supervisor.stop("part")


async def test_what_does_not_stop_is_killed_with_all_below_it(bench: Bench) -> None:
    stubborn = "import signal, subprocess, sys\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    below = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
    pid = await bench.start(stubborn + below + STAYS, stop_within=0.2)
    processes = [psutil.Process(pid), *psutil.Process(pid).children()]
    assert len(processes) == 2
    await bench.supervisor.stop("part")
    assert bench.said == ["part did not stop within 0.2 s and was killed"]
    await eventually(lambda: not any(is_running(process) for process in processes))


async def test_an_exit_code_while_stopping_is_no_death(bench: Bench) -> None:
    """The SDK of Temporal can abort a process that is finalizing."""
    await bench.start("import os, signal\nsignal.signal(signal.SIGTERM, lambda *_: os.abort())\n" + STAYS)
    await bench.supervisor.stop("part")
    assert bench.said == []


async def test_a_failed_start_says_the_line_that_tells_why(bench: Bench) -> None:
    with pytest.raises(StackError, match=r"^part ended before it was ready, exit code 1: ValueError: no seat \(see .*part.log"):
        await bench.start("raise ValueError('no seat')")


async def test_a_stranger_who_answers_is_not_taken_for_the_part(bench: Bench) -> None:
    async def stranger(_: str) -> bool:
        await eventually(lambda: bench.supervisor["part"].pid is None)
        return True

    with pytest.raises(StackError, match="exit code 3"):
        await bench.start("exit(3)", is_ready=stranger)


async def test_a_missing_program_is_named(bench: Bench) -> None:
    with pytest.raises(StackError, match=r"^part: /nowhere/temporal is missing$"):
        await bench.supervisor.run(Program(name="part", command=["/nowhere/temporal"], environment={}, cwd=bench.directory))


async def test_a_program_that_runs_once_must_end_well(bench: Bench) -> None:
    await bench.supervisor.run(bench.program("print('done')", name="once"))
    assert (bench.directory / "once.log").read_text() == "done\n"
    with pytest.raises(StackError, match=r"^once failed, exit code 1: "):
        await bench.supervisor.run(bench.program("exit('cannot')", name="once"))


async def test_a_program_that_runs_once_ends_with_us(bench: Bench) -> None:
    running = asyncio.create_task(bench.supervisor.run(bench.program(STAYS, name="once")))
    await eventually(lambda: PidFile(bench.pids).orphans())
    [(process, _)] = PidFile(bench.pids).orphans()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not process.is_running()


async def test_leftovers_are_stopped_but_never_a_stranger_with_the_same_pid(bench: Bench) -> None:
    await bench.start(STAYS)
    [leftover] = PidFile(bench.pids).orphans()
    recorded = json.loads(bench.pids.read_text())
    recorded["started"]["part"][1] -= 60
    bench.pids.write_text(json.dumps(recorded))
    assert PidFile(bench.pids).orphans() == []
    # Nor what the original of a copied data directory runs.
    recorded["started"]["part"][1] += 60
    bench.pids.write_text(json.dumps(recorded))
    assert PidFile(bench.pids).orphans() == [leftover]
    copy = bench.directory / "copy"
    copy.mkdir()
    shutil.copy(bench.pids, copy)
    assert PidFile(copy / "pids.json").orphans() == []
    await stop_orphans([leftover], within=10)
    await bench.supervisor.stop("part")
    assert not leftover.process.is_running()
