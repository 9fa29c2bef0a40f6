"""Every part is killed at any moment, also soon after it was started again: no seat is lost or doubled."""

import asyncio
import random

import pytest

from embedded.stack import Stack
from tests.outages.crowd import Crowd, until_running


@pytest.mark.timeout(300)
async def test_trade_goes_on_while_every_part_is_killed_again_and_again(stack: Stack, crowd: Crowd) -> None:
    for _ in range(2):
        for part in ("worker-1", "temporal", "postgres", "api"):
            await crowd.completes_teams()
            await asyncio.sleep(random.uniform(0, 1.5))  # noqa: S311 - any moment will do
            await until_running(stack, part)  # trade does not wait for it
            stack.kill(part)
    await crowd.completes_teams()
    assert crowd.unavailable.total() > 0
    await crowd.finish()
