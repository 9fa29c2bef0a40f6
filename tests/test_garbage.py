"""A server process frees what has ended, however long it lived: workflows that leave the cache are cycles of objects."""

from collections import deque

from garbage import tune_collector
from tests.forked import FORK_SERVER

CACHED, LIVES, OBJECTS = 500, 20_000, 130
"""workflows in the cache; that begin, one after the other; containers of each"""


class Life:
    ended = 0

    def __init__(self) -> None:
        self.parts = [[self] for _ in range(OBJECTS)]

    def __del__(self) -> None:
        Life.ended += 1


def play_lives() -> None:
    """Exits with 1 where more garbage was left at a time than ten times what the cache has."""
    tune_collector()
    cache: deque[Life] = deque(maxlen=CACHED)
    most = 0
    for begun in range(1, LIVES + 1):
        cache.append(Life())
        most = max(most, begun - Life.ended - len(cache))
    raise SystemExit(most > 10 * CACHED)


def test_what_has_lived_long_is_freed_too() -> None:
    process = FORK_SERVER.Process(target=play_lives)
    process.start()
    process.join()
    assert process.exitcode == 0
