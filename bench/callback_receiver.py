"""A mall that answers every callback with 200 and does nothing with it. `python -m bench.callback_receiver <port>`."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvloop
from aiohttp import web

from bench.load import READY
from embedded.ports import HOST


@asynccontextmanager
async def listening(port: int, on_callback: Callable[[bytes], object] = lambda _: None) -> AsyncIterator[None]:
    """Receives callbacks on this port; `on_callback` gets each body before it is answered."""

    async def receive(request: web.Request) -> web.Response:
        on_callback(await request.read())
        return web.Response()

    app = web.Application()
    app.router.add_post("/{path:.*}", receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        yield
    finally:
        await runner.cleanup()


async def main(port: int) -> None:
    """Runs until stdin is closed."""
    async with listening(port):
        print(READY, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
