"""A stack of its own: what schemathesis tries switches campaigns, switches and keys about."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from embedded.stack import Stack
from tests.stack_fixture import running_stack

FOLDER = Path(__file__).parent


@pytest.fixture(scope="package")
async def stack() -> AsyncIterator[Stack]:
    async with running_stack() as running:
        yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives each operation an id of its own: schemathesis names its tests by operation, which pytest leaves out of the id."""
    for item in items:
        if item.path.parent == FOLDER and not item.nodeid.endswith(f"::{item.name}"):
            assert item.parent is not None
            item._id = item.parent.id.child(item.name)
