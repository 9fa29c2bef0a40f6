"""A worker is stopped in order, as an upgrade does it."""

from embedded.stack import Stack
from tests.outages.crowd import Crowd


async def test_a_worker_that_is_stopped_in_order_finishes_what_it_began(stack: Stack, crowd: Crowd) -> None:
    await crowd.completes_teams()
    await stack.stop_part("worker-1")
    await stack.start_part("worker-1")
    await crowd.completes_teams()
    await crowd.finish()
