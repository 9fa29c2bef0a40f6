"""Which xdist process runs what: tests that share servers are one process's, and the longest work comes first.

Servers start with the first test that needs them and stop with the last, so that at any time only those run that are tested.
"""

import gc
import os
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, expect
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from embedded import ports
from tests.browser import PATIENCE_MS, running_browser

gc.disable()  # until all is collected
os.environ.setdefault("GOGC", "1000")  # of Temporal's servers: tests wait for two cores, not for memory
# A port is free until somebody listens: of two processes that choose at the same time, neither may choose the other's.
NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
ports.CHOICE = ports.CHOICE[NUMBER :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]

SHARED = ("tests/api", "tests/outages", "tests/db", "tests/workflows", "tests/api/console", "tests/deploy/installed")
"""Folders whose tests share servers, the innermost one of a test."""
APART = ("tests/workflows/test_replay.py",)
"""Modules of those folders that need none of the servers."""
LONGEST_FIRST = (
    *SHARED,
    "tests/contract/test_anything.py",
    "tests/soak/test_soak.py",
    "tests/stack/test_up.py",
    *APART,
    "tests/stack/test_external_database.py",
    "tests/stack/test_refusals.py",
)


def unit(nodeid: str) -> str:
    """What one process runs as a whole: a folder of `SHARED`, or else a module."""
    module = nodeid.partition("::")[0]
    folders = (folder for folder in SHARED if module.startswith(f"{folder}/") and module not in APART)
    return max(folders, key=len, default=module)


class UnitScheduling(LoadScopeScheduling):  # type: ignore[misc]
    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> UnitScheduling:
    return UnitScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(unit(item.nodeid), len(ranks)))
    # xdist runs one test per id.
    assert len({item.nodeid for item in items}) == len(items), "two tests have the same id"


def pytest_collection_finish() -> None:
    """The modules and tests stay to the end: the garbage collector need not go through them again and again."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One for all tests of a process, which open pages of visitors of their own."""
    expect.set_options(timeout=PATIENCE_MS)
    async with running_browser() as browser:
        yield browser
