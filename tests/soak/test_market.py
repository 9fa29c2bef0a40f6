"""Five hundred random steps in the market; `make soak` takes as many as one likes."""

import pytest

from tests.soak.run import market, play


@pytest.mark.timeout(420)
async def test_five_hundred_steps() -> None:
    async with market() as world:
        await play(world, runs=12, steps=50)
        assert world.steps >= 500
        assert {"paid", "refunded", "cancelled"} <= set(world.ends)
