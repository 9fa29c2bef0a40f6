import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stack.running import Up


@pytest.fixture
def new_dir() -> Iterator[Callable[[], Path]]:
    """Makes directories outside pytest's tmp_path, which other users cannot traverse: as root, PostgreSQL runs as one."""
    made: list[Path] = []

    def make() -> Path:
        made.append(Path(tempfile.mkdtemp(prefix="groupbuy-test-")).resolve())
        return made[-1]

    yield make
    for path in made:
        shutil.rmtree(path)


@pytest.fixture
def data_dir(new_dir: Callable[[], Path]) -> Path:
    return new_dir()


@pytest.fixture
def up(new_dir: Callable[[], Path]) -> Iterator[Callable[..., Up]]:  # noqa: ARG001 - runs are stopped before their directories are removed
    """Starts `groupbuy up`, and stops every run at the end of the test."""
    started: list[Up] = []

    def start(*arguments: Path | str, **options: object) -> Up:
        started.append(Up(*arguments, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for run in started:
        run.end()
