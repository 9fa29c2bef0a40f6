"""Which xdist process runs what: tests that share servers are one process's, and the longest work comes first.

Servers start with the first test that needs them and stop with the last, so that at any time only those run that are tested.
"""

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

SHARED = ("tests/api", "tests/outages", "tests/db", "tests/workflows", "tests/api/console")
"""Folders whose tests share servers, the innermost one of a test."""
APART = ("tests/workflows/test_replay.py",)
"""Modules of those folders that need none of the servers."""
LONGEST_FIRST = (*SHARED, "tests/contract/test_anything.py", "tests/soak/test_soak.py", "tests/stack/test_up.py", *APART)


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
