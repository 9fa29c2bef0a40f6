"""`groupbuy up` from start to stop, with every part."""

import os
import signal
import stat
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from embedded.addresses import running_stack
from embedded.orphans import is_running
from tests.stack.running import Up

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


def ended(processes: list[psutil.Process]) -> bool:
    return not any(is_running(process) for process in processes)


def test_the_json_line_then_every_part_works_then_no_process_is_left(up: Start, data_dir: Path) -> None:
    run = up(data_dir, "--json", "--workers=2")
    addresses = run.json()
    assert list(addresses) == FIELDS
    assert run.stdout.count("\n") == 1
    assert status(f"{addresses['api_url']}/readyz") == 200
    assert status(f"{addresses['mall_url']}/healthz") == 200
    assert status(addresses["temporal_ui_url"]) == 200
    assert status(addresses["console_url"]) == 200  # to where one signs in
    assert addresses["webhook_secret"].startswith("whsec_")
    assert addresses["data_dir"] == str(data_dir)
    parts = run.parts()
    assert sorted(parts) == ["api", "mall", "postgres", "temporal", "worker-1", "worker-2"]
    assert addresses["worker_pids"] == [parts["worker-1"], parts["worker-2"]]
    for private in ("keys.json", "stack.json", "postgres.password"):
        assert stat.S_IMODE((data_dir / private).stat().st_mode) == 0o600
    assert (data_dir / "stack.json").read_text() == run.stdout.strip()

    os.kill(parts["worker-1"], signal.SIGKILL)
    run.wait(lambda: "worker-1 is up again" in run.stderr)
    assert "worker-1 died, killed by SIGKILL" in run.stderr
    found = running_stack(data_dir)
    assert found
    assert found.worker_pids == [run.parts()["worker-1"], parts["worker-2"]]
    assert found.worker_pids != addresses["worker_pids"]

    processes = run.descendants()
    assert {psutil.Process(pid) for pid in run.parts().values()} <= set(processes)
    code, seconds = run.stop(signal.SIGTERM)
    assert code == 0
    assert seconds < 15
    assert ended(processes)
    assert "was killed" not in run.stderr
    assert run.stdout.count("\n") == 1
    assert running_stack(data_dir) is None


def test_two_stacks_run_side_by_side_but_not_on_one_directory_or_port(up: Start, new_dir: Callable[[], Path]) -> None:
    one, two = up(new_dir(), "--json"), up(new_dir(), "--json")
    first, second = one.json(), two.json()
    for address in ("api_url", "legacy_url", "temporal_address", "temporal_ui_url", "mall_url", "database_url"):
        assert first[address] != second[address]
    for key in ("mall_key", "ops_key", "webhook_secret"):
        assert first[key] != second[key]
    assert up(one.data_dir, "--json").startup_error() == (
        f"groupbuy: {one.data_dir} is in use by the stack of process {one.process.pid}: "
        "stop that one, or choose another --data-dir\n"
    )
    port = first["api_url"].rpartition(":")[2]
    assert f"groupbuy: port {port} for the API: address already in use" in up(new_dir(), f"--api-port={port}").startup_error()
    assert one.stop()[0] == 0
    assert status(f"{second['api_url']}/readyz") == 200
    assert two.stop()[0] == 0


def test_the_next_start_stops_what_a_killed_supervisor_has_left(up: Start, data_dir: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)  # the first one writes to a closed pipe
    killed = up(data_dir, "--json", stdout=writer)
    os.close(writer)
    killed.wait(lambda: running_stack(data_dir))
    first = running_stack(data_dir)
    assert first
    orphans = killed.descendants()
    assert len(orphans) >= 5
    killed.process.kill()
    killed.process.wait()
    assert running_stack(data_dir) is None

    again = up(data_dir)
    again.wait(lambda: "groupbuy is ready" in again.stdout)
    assert "an earlier run was killed; stopping what it left behind" in again.stderr
    assert ended(orphans)
    for kept in (first.mall_key, first.ops_key, first.webhook_secret, first.database_url):
        assert kept in again.stdout
    assert f"{data_dir}\n" in again.stdout
    assert f"groupbuy demo --data-dir {data_dir}\n" in again.stdout
    processes = again.descendants()
    code, seconds = again.stop(signal.SIGINT)
    assert code == 0
    assert seconds < 15
    assert ended(processes)


@pytest.mark.parametrize("after", ["temporal", "prepare", "api"])
def test_a_signal_during_the_start_leaves_no_process(up: Start, data_dir: Path, after: str) -> None:
    run = up(data_dir)
    run.wait(lambda: after in run.parts())
    processes = run.descendants()
    code, seconds = run.stop(signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    assert seconds < 15
    assert ended(processes)
    assert run.parts() == {}
