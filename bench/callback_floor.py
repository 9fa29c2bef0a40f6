"""The floor of callbacks: the same clients in a bare loop. `python -m bench.callback_floor <url> [broker]`."""

import json
import sys
import time

import aio_pika
import aiohttp
import uvloop

from activities.callbacks.senders.amqp import EXCHANGE
from bench.load import Stopwatch, serve

ROUTING_KEY = "s01.bench.callbacks"
BODY = json.dumps(
    {
        "type": "team.failed",
        "timestamp": "2026-05-01T12:00:00Z",
        "sequence": 123456,
        "data": {"team_id": "x" * 26, "reason": "expired", "out_trade_nos": ["x" * 20] * 3},
    },
    separators=(",", ":"),
).encode()
HEADERS = {"webhook-id": f"evt_{'x' * 26}", "webhook-timestamp": "1777636800", "webhook-signature": f"v1,{'x' * 44}"}


async def main(url: str, broker: str | None) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:

        async def post(_: str, stopwatch: Stopwatch) -> None:
            sent_at = time.perf_counter()
            async with http.post(url, data=BODY, headers=HEADERS | {"Content-Type": "application/json"}) as response:
                await response.read()
                response.raise_for_status()
            stopwatch.record("http", sent_at)

        if broker is None:
            await serve({"http": post})
            return
        async with await aio_pika.connect(broker) as connection:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            exchange = await channel.get_exchange(EXCHANGE)

            async def publish(_: str, stopwatch: Stopwatch) -> None:
                sent_at = time.perf_counter()
                message = aio_pika.Message(BODY, headers=dict(HEADERS), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                await exchange.publish(message, ROUTING_KEY, mandatory=True)
                stopwatch.record("amqp", sent_at)

            await serve({"http": post, "amqp": publish})


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))
