"""Which xdist process runs what: a folder whose tests share servers is one process's, and the longest work comes first.

The servers start with the folder's first test and stop with its last, so at any time only those run that are tested.
"""

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

WITH_SERVERS = ("api", "outages", "workflows", "db", "stack", "soak", "contract")
"""From the longest to the shortest. The modules of the other folders follow one by one and fill the gaps."""


def folder(nodeid: str) -> str:
    return nodeid.split("/")[1]


class FolderScheduling(LoadScopeScheduling):  # type: ignore[misc]
    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return folder(module) if folder(module) in WITH_SERVERS else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> FolderScheduling:
    return FolderScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {name: rank for rank, name in enumerate(WITH_SERVERS)}
    items.sort(key=lambda item: ranks.get(folder(item.nodeid), len(ranks)))
