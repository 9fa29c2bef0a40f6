"""A second API process beside the stack's, with settings of its own."""

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from embedded.ports import HOST, free_port
from embedded.stack import Stack
from tests.api.caller import Caller
from tests.api.polling import until


@asynccontextmanager
async def another_api(stack: Stack, caller: Caller, **settings: str) -> AsyncIterator[Caller]:
    """Ready inside; answers the same key as `caller`."""
    async with api_process(stack, caller, **settings) as (there, _):
        yield there


@asynccontextmanager
async def api_process(stack: Stack, caller: Caller, **settings: str) -> AsyncIterator[tuple[Caller, Process]]:
    """Ready inside, where it may also be killed."""
    port = int(settings.get("GROUPBUY_API_PORT", 0)) or free_port()
    environment = {**stack._plan.application_environment(), "GROUPBUY_API_PORT": str(port), **settings}
    process = await asyncio.create_subprocess_exec(sys.executable, "-P", "-m", "api", env=environment)
    there = caller.elsewhere(f"http://{HOST}:{port}").with_key(caller.key)

    async def ready() -> bool:
        assert process.returncode is None
        try:
            return (await there.get("/readyz")).status == 200
        except OSError:
            return False

    try:
        await until(ready, bool)
        yield there, process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
