"""`groupbuy up` from start to stop, with every part."""

import os
import signal
import stat
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from embedded.addresses import running_stack
from embedded.orphans import is_running
from tests.stack.running import Up, until

Start = Callable[..., Up]

FIELDS = [
    "api_url",
    "legacy_url",
    "console_url",
    "temporal_address",
    "temporal_ui_url",
    "mall_url",
    "database_url",
    "mall_key",
    "ops_key",
    "webhook_secret",
    "data_dir",
    "worker_pids",
]


def status(url: str) -> int:
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310
        return int(response.status)


def assert_ended(processes: list[psutil.Process]) -> None:
    """A part's own children may take a moment longer than the part."""
    until(lambda: not any(is_running(process) for process in processes), within=5)


def test_two_stacks_from_start_to_stop_side_by_side(up: Start, new_dir: Callable[[], Path]) -> None:
    """The second one writes to a closed pipe, and is killed."""
    one = up(new_dir(), "--json", "--workers=2")
    first = _every_part_works(one)
    _a_worker_that_died_is_started_again(one)

    reader, writer = os.pipe()
    os.close(reader)
    two = up(new_dir(), "--json", stdout=writer)
    os.close(writer)
    _neither_shares_a_port_nor_a_key(two, first)
    _a_third_one_gets_neither_the_directory_nor_the_port(up, one, new_dir)

    processes = one.descendants()
    assert {psutil.Process(pid) for pid in one.parts().values()} <= set(processes)
    code, seconds = one.stop(signal.SIGTERM)
    assert code == 0
    assert seconds < 15
    assert "was killed" not in one.stderr
    assert_ended(processes)
    assert one.stdout.count("\n") == 1
    assert running_stack(one.data_dir) is None
    _the_next_start_stops_what_a_killed_supervisor_has_left(up, two)


def _every_part_works(run: Up) -> dict[str, Any]:
    addresses = run.json()
    assert list(addresses) == FIELDS
    assert run.stdout.count("\n") == 1
    assert status(f"{addresses['api_url']}/readyz") == 200
    assert status(f"{addresses['mall_url']}/healthz") == 200
    assert status(addresses["temporal_ui_url"]) == 200
    assert status(addresses["console_url"]) == 200  # to where one signs in
    assert addresses["webhook_secret"].startswith("whsec_")
    assert addresses["data_dir"] == str(run.data_dir)
    parts = run.parts()
    assert sorted(parts) == ["api", "mall", "postgres", "temporal", "worker-1", "worker-2"]
    assert addresses["worker_pids"] == [parts["worker-1"], parts["worker-2"]]
    for private in ("keys.json", "stack.json", "postgres.password"):
        assert stat.S_IMODE((run.data_dir / private).stat().st_mode) == 0o600
    assert (run.data_dir / "stack.json").read_text() == run.stdout.strip()
    return addresses


def _a_worker_that_died_is_started_again(run: Up) -> None:
    before = run.parts()
    os.kill(before["worker-1"], signal.SIGKILL)
    run.wait(lambda: "worker-1 is up again" in run.stderr)
    assert "worker-1 died, killed by SIGKILL" in run.stderr
    found = running_stack(run.data_dir)
    assert found
    assert found.worker_pids == [run.parts()["worker-1"], before["worker-2"]]
    assert found.worker_pids[0] != before["worker-1"]


def _neither_shares_a_port_nor_a_key(run: Up, others: dict[str, Any]) -> None:
    run.wait(lambda: running_stack(run.data_dir))
    found = running_stack(run.data_dir)
    assert found
    for field in FIELDS[: FIELDS.index("data_dir")]:
        assert getattr(found, field) != others[field]


def _a_third_one_gets_neither_the_directory_nor_the_port(up: Start, run: Up, new_dir: Callable[[], Path]) -> None:
    assert up(run.data_dir, "--json").startup_error() == (
        f"groupbuy: {run.data_dir} is in use by the stack of process {run.process.pid}: "
        "stop that one, or choose another --data-dir\n"
    )
    port = run.json()["api_url"].rpartition(":")[2]
    assert f"groupbuy: port {port} for the API: address already in use" in up(new_dir(), f"--api-port={port}").startup_error()


def _the_next_start_stops_what_a_killed_supervisor_has_left(up: Start, killed: Up) -> None:
    left = running_stack(killed.data_dir)
    assert left
    assert status(f"{left.api_url}/readyz") == 200
    orphans = killed.descendants()
    assert len(orphans) >= 5
    killed.process.kill()
    killed.process.wait()
    assert running_stack(killed.data_dir) is None

    again = up(killed.data_dir)
    again.wait(lambda: "groupbuy is ready" in again.stdout)
    assert "an earlier run was killed; stopping what it left behind" in again.stderr
    assert_ended(orphans)
    for kept in (left.mall_key, left.ops_key, left.webhook_secret, left.database_url):
        assert kept in again.stdout
    assert f"{killed.data_dir}\n" in again.stdout
    assert f"groupbuy demo --data-dir {killed.data_dir}\n" in again.stdout
    processes = again.descendants()
    code, seconds = again.stop(signal.SIGINT)
    assert code == 0
    assert seconds < 15
    assert_ended(processes)


@pytest.mark.parametrize("after", ["temporal", "prepare", "api"])
def test_a_signal_during_the_start_leaves_no_process(up: Start, data_dir: Path, after: str) -> None:
    run = up(data_dir)
    run.wait(lambda: after in run.parts())
    processes = run.descendants()
    code, seconds = run.stop(signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    assert seconds < 15
    assert_ended(processes)
    assert run.parts() == {}
