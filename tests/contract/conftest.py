"""A stack of its own: what schemathesis tries switches campaigns, switches and keys about."""

from collections.abc import AsyncIterator

import pytest

from embedded.stack import Stack
from tests.stack_fixture import running_stack


@pytest.fixture(scope="package")
async def stack() -> AsyncIterator[Stack]:
    async with running_stack() as running:
        yield running
