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


def gone(processes: list[psutil.Process]) -> bool:
    return not any(is_running(process) for process in processes)


def test_one_line_of_json_then_all_of_it_works_then_nothing_is_left(up: Start, data_dir: Path) -> None:
    run = up(data_dir, "--json", "--workers=2")
    said = run.json()
    assert list(said) == FIELDS
    assert run.stdout.count("\n") == 1
    assert status(f"{said['api_url']}/readyz") == 200
    assert status(f"{said['mall_url']}/healthz") == 200
    assert status(said["temporal_ui_url"]) == 200
    assert said["webhook_secret"].startswith("whsec_")
    assert said["data_dir"] == str(data_dir)
    parts = run.parts()
    assert sorted(parts) == ["api", "mall", "postgres", "temporal", "worker-1", "worker-2"]
    assert said["worker_pids"] == [parts["worker-1"], parts["worker-2"]]
    for private in ("keys.json", "stack.json"):
        assert stat.S_IMODE((data_dir / private).stat().st_mode) == 0o600
    assert (data_dir / "stack.json").read_text() == run.stdout.strip()

    os.kill(parts["worker-1"], signal.SIGKILL)
    run.wait(lambda: "worker-1 is up again" in run.stderr)
    assert "worker-1 died, killed by SIGKILL" in run.stderr
    found = running_stack(data_dir)
    assert found
    assert found.worker_pids == [run.parts()["worker-1"], parts["worker-2"]]
    assert found.worker_pids != said["worker_pids"]

    processes = run.below()
    assert {psutil.Process(pid) for pid in run.parts().values()} <= set(processes)
    code, seconds = run.stop(signal.SIGTERM)
    assert code == 0
    assert seconds < 15
    assert gone(processes)
    assert "was killed" not in run.stderr
    assert run.stdout.count("\n") == 1
    assert running_stack(data_dir) is None

    again = up(data_dir)
    again.wait(lambda: "groupbuy is ready" in again.stdout)
    for kept in ("mall_key", "ops_key", "webhook_secret", "database_url"):
        assert said[kept] in again.stdout
    assert f"{data_dir}\n" in again.stdout
    assert f"groupbuy demo --data-dir {data_dir}\n" in again.stdout
    processes = again.below()
    code, seconds = again.stop(signal.SIGINT)
    assert code == 0
    assert seconds < 15
    assert gone(processes)


def test_two_stacks_side_by_side_but_one_per_directory_and_port(up: Start, new_dir: Callable[[], Path]) -> None:
    one, two = up(new_dir(), "--json"), up(new_dir(), "--json")
    first, second = one.json(), two.json()
    for address in ("api_url", "temporal_address", "temporal_ui_url", "mall_url", "database_url"):
        assert first[address] != second[address]
    for key in ("mall_key", "ops_key", "webhook_secret"):
        assert first[key] != second[key]
    assert up(one.data_dir, "--json").refusal() == (
        f"groupbuy: {one.data_dir} is in use by the stack of process {one.process.pid}: "
        "stop that one, or choose another --data-dir\n"
    )
    port = first["api_url"].rpartition(":")[2]
    assert f"groupbuy: port {port} for the API: address already in use" in up(new_dir(), f"--api-port={port}").refusal()
    assert one.stop()[0] == 0
    assert status(f"{second['api_url']}/readyz") == 200
    assert two.stop()[0] == 0


def test_a_killed_supervisor_is_cleaned_up_after(up: Start, data_dir: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)  # and nobody reads what the first one says
    killed = up(data_dir, "--json", stdout=writer)
    os.close(writer)
    killed.wait(lambda: running_stack(data_dir))
    first = running_stack(data_dir)
    assert first
    left = killed.below()
    assert len(left) >= 5
    killed.process.kill()
    killed.process.wait()
    assert running_stack(data_dir) is None

    run = up(data_dir, "--json")
    said = run.json()
    assert "an earlier run was killed; stopping what it left behind" in run.stderr
    assert gone(left)
    assert said["mall_key"] == first.mall_key
    assert run.stop()[0] == 0


@pytest.mark.parametrize("after", ["temporal", "prepare", "api"])
def test_a_signal_while_starting_leaves_nothing(up: Start, data_dir: Path, after: str) -> None:
    run = up(data_dir)
    run.wait(lambda: after in run.parts())
    processes = run.below()
    code, seconds = run.stop(signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    assert seconds < 15
    assert gone(processes)
    assert run.parts() == {}
