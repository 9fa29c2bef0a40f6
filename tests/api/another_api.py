"""A second API process beside the stack's, with settings of its own."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from multiprocessing.context import ForkServerProcess

import api.__main__
from embedded.ports import HOST, free_port
from embedded.stack import Stack
from tests.api.caller import Caller
from tests.api.polling import until
from tests.forked import FORK_SERVER


@asynccontextmanager
async def another_api(stack: Stack, caller: Caller, **settings: str) -> AsyncIterator[Caller]:
    """Ready inside; answers the same key as `caller`."""
    async with api_process(stack, caller, **settings) as (there, _):
        yield there


@asynccontextmanager
async def api_process(stack: Stack, caller: Caller, **settings: str) -> AsyncIterator[tuple[Caller, ForkServerProcess]]:
    """Ready inside, where it may also be killed."""
    port = int(settings.get("GROUPBUY_API_PORT", 0)) or free_port()
    environment = {**stack._plan.application_environment(), "GROUPBUY_API_PORT": str(port), **settings}
    process = FORK_SERVER.Process(target=_run, args=(environment,), daemon=True)
    there = caller.elsewhere(f"http://{HOST}:{port}").with_key(caller.key)

    async def ready() -> bool:
        assert process.is_alive()
        try:
            return (await there.get("/readyz")).status == 200
        except OSError:
            return False

    process.start()
    try:
        await until(ready, bool)
        yield there, process
    finally:
        process.terminate()
        await asyncio.to_thread(process.join)


def _run(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    api.__main__.main()
