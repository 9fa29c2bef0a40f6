"""A worker is killed at any moment: the work resumes, and no seat is lost or doubled."""

import asyncio
import random

import pytest

from embedded.stack import Stack
from tests.outages.crowd import Crowd, until_running


@pytest.mark.timeout(300)
async def test_trade_goes_on_while_the_worker_is_killed_again_and_again(stack: Stack, crowd: Crowd) -> None:
    await crowd.completes_teams()
    for _ in range(3):
        await asyncio.sleep(random.uniform(0, 1.5))  # noqa: S311 - any moment will do
        await until_running(stack, "worker-1")  # trade does not wait for it
        stack.kill("worker-1")
        await crowd.completes_teams(8)
    await crowd.finish()


async def test_a_worker_that_is_stopped_in_order_finishes_what_it_began(stack: Stack, crowd: Crowd) -> None:
    await crowd.completes_teams()
    await stack.stop_part("worker-1")
    await stack.start_part("worker-1")
    await crowd.completes_teams()
    await crowd.finish()
