"""A mall that takes every callback and does nothing with it. `python -m bench.bare_mall <port>`; it ends with its stdin."""

import asyncio
import sys

import uvloop
from aiohttp import web

from bench.load import READY
from embedded.ports import HOST


async def take(request: web.Request) -> web.Response:
    await request.read()
    return web.Response()


async def main(port: int) -> None:
    app = web.Application()
    app.router.add_post("/{path:.*}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    print(READY, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
