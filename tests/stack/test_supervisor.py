"""The supervisor, with programs of one or two lines."""

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


async def printed_ready(output: str) -> bool:
    return "ready" in output.splitlines()


class Harness:
    """A supervisor, and the lines that it has reported."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lines: list[str] = []
        self.pids = directory / "pids.json"
        self.supervisor = Supervisor(directory, PidFile(self.pids), self.lines.append, lambda: None)

    def program(self, code: str, name: str = "part", stop_within: float = 10) -> Program:
        return Program(
            name=name,
            command=[sys.executable, "-u", "-c", code],
            environment=os.environ,
            cwd=self.directory,
            stop_within=stop_within,
        )

    async def start(self, code: str, *, is_ready: Callable[[str], Awaitable[bool]] = printed_ready, **options: float) -> int:
        await self.supervisor.start(Part(self.program(code, **options), is_ready))  # type: ignore[arg-type]
        pid = self.supervisor["part"].pid
        assert pid
        return pid


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


RUNS_LONG = "import time; print('ready'); time.sleep(600)"


async def test_start_returns_when_ready_and_stop_when_ended(harness: Harness) -> None:
    pid = await harness.start(RUNS_LONG)
    assert psutil.pid_exists(pid)
    await harness.supervisor.stop("part")
    assert not psutil.pid_exists(pid)
    assert harness.lines == []
    assert PidFile(harness.pids).orphans() == []


async def test_a_part_that_dies_is_restarted_and_reported(harness: Harness) -> None:
    first = await harness.start(RUNS_LONG)
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: len(harness.lines) == 2)
    second = harness.supervisor["part"].pid
    assert second not in (None, first)
    assert harness.lines[0].startswith("part died, killed by SIGKILL")
    assert harness.lines[1] == f"part is up again, pid {second}"
    await harness.supervisor.stop("part")


async def test_a_failed_restart_is_retried_later(harness: Harness) -> None:
    first = await harness.start("import os, time\nif os.path.exists('broken'): exit('no: broken')\n" + RUNS_LONG)
    (harness.directory / "broken").touch()
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: len(harness.lines) == 2)
    assert "exit code 1: no: broken" in harness.lines[1]
    assert harness.lines[1].endswith("starting it again in 1 s")
    (harness.directory / "broken").unlink()
    await eventually(lambda: harness.supervisor["part"].pid and "up again" in harness.lines[-1])
    await harness.supervisor.stop("part")


async def test_a_part_can_be_stopped_while_it_waits_for_its_restart(harness: Harness) -> None:
    os.kill(await harness.start(RUNS_LONG), signal.SIGKILL)
    await eventually(lambda: harness.lines)
    await harness.supervisor.stop("part")
    assert harness.supervisor["part"].pid is None
    assert PidFile(harness.pids).orphans() == []


async def test_a_stopped_part_can_be_started_again(harness: Harness) -> None:
    first = await harness.start(RUNS_LONG)
    await harness.supervisor.stop("part")
    await harness.supervisor["part"].start()
    assert harness.supervisor["part"].pid not in (None, first)
    await harness.supervisor.stop("part")


async def test_a_part_that_does_not_stop_is_killed_with_its_descendants(harness: Harness) -> None:
    ignores_sigterm = "import signal, subprocess, sys\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    child = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
    pid = await harness.start(ignores_sigterm + child + RUNS_LONG, stop_within=0.2)
    processes = [psutil.Process(pid), *psutil.Process(pid).children()]
    assert len(processes) == 2
    await harness.supervisor.stop("part")
    assert harness.lines == ["part did not stop within 0.2 s and was killed"]
    await eventually(lambda: not any(is_running(process) for process in processes))


async def test_an_exit_code_while_stopping_is_ignored(harness: Harness) -> None:
    """The Temporal SDK can abort a process while it finalizes."""
    await harness.start("import os, signal\nsignal.signal(signal.SIGTERM, lambda *_: os.abort())\n" + RUNS_LONG)
    await harness.supervisor.stop("part")
    assert harness.lines == []


async def test_a_failed_start_reports_the_line_of_the_log_that_says_why(harness: Harness) -> None:
    with pytest.raises(StackError, match=r"^part ended before it was ready, exit code 1: ValueError: no seat \(see .*part.log"):
        await harness.start("raise ValueError('no seat')")


async def test_another_process_that_answers_the_probe_is_not_taken_for_the_part(harness: Harness) -> None:
    async def answered_by_other(_: str) -> bool:
        await eventually(lambda: harness.supervisor["part"].pid is None)
        return True

    with pytest.raises(StackError, match="exit code 3"):
        await harness.start("exit(3)", is_ready=answered_by_other)


async def test_a_missing_program_is_named(harness: Harness) -> None:
    with pytest.raises(StackError, match=r"^part: /nowhere/temporal is missing$"):
        await harness.supervisor.run(Program(name="part", command=["/nowhere/temporal"], environment={}, cwd=harness.directory))


async def test_a_program_that_runs_once_must_succeed(harness: Harness) -> None:
    await harness.supervisor.run(harness.program("print('done')", name="once"))
    assert (harness.directory / "once.log").read_text() == "done\n"
    with pytest.raises(StackError, match=r"^once failed, exit code 1: "):
        await harness.supervisor.run(harness.program("exit('cannot')", name="once"))


async def test_a_program_that_runs_once_is_stopped_on_cancellation(harness: Harness) -> None:
    running = asyncio.create_task(harness.supervisor.run(harness.program(RUNS_LONG, name="once")))
    await eventually(lambda: PidFile(harness.pids).orphans())
    [(process, _)] = PidFile(harness.pids).orphans()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not process.is_running()


async def test_orphans_are_stopped_but_no_other_process_with_the_same_pid(harness: Harness) -> None:
    await harness.start(RUNS_LONG)
    [orphan] = PidFile(harness.pids).orphans()
    content = json.loads(harness.pids.read_text())
    content["started"]["part"][1] -= 60
    harness.pids.write_text(json.dumps(content))
    assert PidFile(harness.pids).orphans() == []
    # Nor the processes of the original of a copied data directory.
    content["started"]["part"][1] += 60
    harness.pids.write_text(json.dumps(content))
    assert PidFile(harness.pids).orphans() == [orphan]
    copy = harness.directory / "copy"
    copy.mkdir()
    shutil.copy(harness.pids, copy)
    assert PidFile(copy / "pids.json").orphans() == []
    await stop_orphans([orphan], within=10)
    await harness.supervisor.stop("part")
    assert not orphan.process.is_running()
