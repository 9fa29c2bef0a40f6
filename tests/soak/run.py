"""Runs the market: `python -m tests.soak.run --minutes 30`."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from temporalio.client import Client

from tests.api.caller import Caller, http_session
from tests.api.receiver import listening
from tests.api.shop import Shop
from tests.soak.market import Market, World
from tests.stack_fixture import running_stack


@asynccontextmanager
async def market(*, crashes: bool = True) -> AsyncIterator[World]:
    """A stack of its own, its mall, and its operators."""
    async with running_stack() as stack, http_session() as http, listening(stack.addresses.webhook_secret) as receiver:
        addresses = stack.addresses
        mall, ops = (Caller(http, addresses.api_url, key) for key in (addresses.mall_key, addresses.ops_key))
        temporal = await Client.connect(addresses.temporal_address)
        yield World(
            asyncio.get_running_loop(), stack, Shop(mall, ops, mall.with_key(None)), receiver, temporal, crashes=crashes
        )


async def play(world: World, *, runs: int, steps: int, derandomize: bool = True) -> None:
    """So many runs of up to so many steps. A failure names its steps; it is not made smaller, for a stack is not repeatable."""
    machine = type("Market", (Market,), {"world": world})
    chosen = settings(
        max_examples=runs,
        stateful_step_count=steps,
        derandomize=derandomize,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    # In a thread: the stack's supervisor and the mall's receiver live on this loop.
    await asyncio.to_thread(run_state_machine_as_test, machine, settings=chosen)


async def soak(minutes: float) -> None:
    async with market() as world:
        until = time.monotonic() + minutes * 60
        while time.monotonic() < until:
            await play(world, runs=5, steps=50, derandomize=False)
            ends = ", ".join(f"{count} {end}" for end, count in sorted(world.ends.items()))
            click.echo(f"{world.steps} steps, invariants hold; orders: {ends}")
        answers = ", ".join(f"{count} × {answer}" for answer, count in world.answers.most_common())
        click.echo(f"answers: {answers}")


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="how long")
def main(minutes: float) -> None:
    """Random buyers, a moody mall, operators and crashes, against a stack of its own, until time is up or something breaks."""
    asyncio.run(soak(minutes))


if __name__ == "__main__":
    main()
