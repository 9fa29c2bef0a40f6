"""The mall of the soak: a process of its own, which can be killed and paused like any other part.

`python -m tests.soak.mall PORT FILE SECRET [BROKER]`. What it says to an event is in the address that the order was locked
with, so that a restart forgets nothing: `/yes`, `/veto`, and until a moment `/busy/<until>`, `/hang/<until>`, `/gone/<until>`.
What comes over RabbitMQ it takes.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from aiohttp import web
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError
from yarl import URL

from embedded.ports import HOST

QUESTION = "order.refund_requested"
VETO = {"code": "refund_rejected", "detail": "packed already"}
HANGS_FOR = 4.0
"""seconds: longer than the platform waits for an answer in a soak"""
EXCHANGE = "group_buy_market_exchange"
QUEUE = "soak"
AGAIN_AFTER = 0.5
PREFETCH = 16


class Mall:
    def __init__(self, file: Path, secret: str) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._webhook = Webhook(secret)
        self._clock_step = 0.0

    async def step_clock(self, request: web.Request) -> web.Response:
        """A restart sets it right."""
        self._clock_step = float((await request.json())["seconds"])
        return web.Response()

    async def receive(self, request: web.Request) -> web.Response:
        text = await request.text()
        # The library reads the true clock and accepts five minutes; this mall's own clock may be wrong by more than that.
        is_signed = self._verify(text, dict(request.headers)) and abs(self._clock_step) < 300
        body = json.loads(text)
        status = self._answer(request.path, body["type"]) if is_signed else 401
        self._record(request.headers.get("webhook-id", ""), body, request.path, status, is_signed=is_signed)
        if request.path.startswith("/hang/") and status != 200:
            await asyncio.sleep(HANGS_FOR)
        return web.json_response(VETO, status=status)

    async def consume(self, url: str) -> None:
        """Takes what comes over RabbitMQ, from a queue that keeps it while this mall or its connection is away."""
        while True:
            # The library raises whatever it meets when a connection breaks.
            with suppress(Exception):
                await self._consume(url)
            await asyncio.sleep(AGAIN_AFTER)

    async def _consume(self, url: str) -> None:
        async with aio_pika.Connection(URL(url)) as connection:
            # Not connection.closed(), which never ends where the broker is what goes away.
            lost = asyncio.Event()
            connection.close_callbacks.add(lambda *_: lost.set())
            await connection.connect(timeout=5)
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=PREFETCH)
            exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
            queue = await channel.declare_queue(QUEUE, durable=True)
            await queue.bind(exchange, f"{QUEUE}.#")
            await queue.consume(self._take)
            await lost.wait()

    async def _take(self, message: AbstractIncomingMessage) -> None:
        body = json.loads(message.body)
        # A message may have waited, and a clock that is wrong says nothing about it.
        is_signed = self._verify(message.body.decode(), {name: str(value) for name, value in message.headers.items()})
        self._record(message.message_id or "", body, message.routing_key or "", 200, is_signed=is_signed)
        await message.ack()

    def _record(self, event_id: str, body: Mapping[str, Any], path: str, status: int, *, is_signed: bool) -> None:
        record = {
            "at": time.time(),
            "event_id": event_id,
            "type": body["type"],
            "sequence": body["sequence"],
            "data": body["data"],
            "path": path,
            "is_signed": is_signed,
            "clock_step": self._clock_step,
            "answered": status,
        }
        # One write, which a kill cannot split, and before the answer: what the platform believes delivered is here.
        os.write(self._file, (json.dumps(record) + "\n").encode())

    def _answer(self, path: str, kind: str) -> int:
        _, mood, *rest = path.split("/")
        if rest and time.time() >= float(rest[0]):
            return 200
        return {"veto": 409 if kind == QUESTION else 200, "busy": 503, "hang": 503, "gone": 410}.get(mood, 200)

    def _verify(self, text: str, headers: dict[str, str]) -> bool:
        try:
            self._webhook.verify(text, headers)
        except WebhookVerificationError:
            return False
        return True


def main() -> None:
    port, file, secret, *broker = sys.argv[1:]
    mall = Mall(Path(file), secret)
    app = web.Application()
    if broker:
        app.cleanup_ctx.append(lambda _: _consuming(mall, broker[0]))
    app.router.add_post("/clock", mall.step_clock)
    app.router.add_get("/healthz", lambda _: _ok())
    app.router.add_post("/{path:.*}", mall.receive)
    # Longer than the platform keeps an idle connection, which would send a callback on one that is being closed here.
    web.run_app(app, host=HOST, port=int(port), print=None, keepalive_timeout=75, reuse_address=True, access_log=None)


async def _consuming(mall: Mall, url: str) -> AsyncIterator[None]:
    task = asyncio.create_task(mall.consume(url))
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _ok() -> web.Response:
    return web.Response()


if __name__ == "__main__":
    main()
