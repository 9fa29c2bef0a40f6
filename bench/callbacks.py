"""What callbacks cost: how many a second beside a bare loop of the same clients, and how soon a mall hears of a payment."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import aiohttp
import asyncpg
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity
from aiohttp import web
from yarl import URL

from activities.callbacks.senders.amqp import EXCHANGE
from bench.callback_floor import ROUTING_KEY
from bench.mall_calls import OFFER, TEAM_SIZE
from bench.processes import BenchError
from embedded.ports import HOST, free_port

BROKER = os.environ.get("GROUPBUY_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
PER_SECOND = 500
"""callbacks that wait to be sent, per second that a round is long"""
SENT_WITHIN = 120.0
LOOK_EVERY = 0.02
HEARD_ROUTING_KEY = "bench.heard"

Json = dict[str, Any]
Heard = Callable[[str], None]
"""Takes note that the mall has heard of a team."""

WAITING = """
WITH event AS (
  INSERT INTO events (event_id, source, type, team_id, data, occurred_at)
  SELECT 'evt_bench_' || $1 || '_' || number, 's01', 'team.failed', 'bench-callbacks',
         jsonb_build_object('team_id', repeat('x', 26), 'reason', 'expired',
                            'out_trade_nos', jsonb_build_array(repeat('x', 20), repeat('x', 20), repeat('x', 20))), $5
    FROM generate_series(1, $2::int) AS number
  RETURNING event_id
)
INSERT INTO deliveries (event_id, kind, address, format, status, attempts, since, next_attempt_at, finished_at)
SELECT event_id, $3, $4, 'standard', 'dead', 0, $5, $5, $5 FROM event
"""
LEFT = "SELECT count(*) FROM deliveries WHERE status <> 'delivered' AND event_id LIKE 'evt\\_bench\\_' || $1 || '\\_%'"


@dataclass(frozen=True)
class Sent:
    """Callbacks that waited, from the request to send them until the mall had the last one."""

    kind: str
    callbacks: int
    seconds: float
    bare_per_second: float
    teams_per_second: float
    receipts: list[float]
    """sorted milliseconds from a team's last payment, as it is sent, until the mall hears of it"""

    @property
    def rate(self) -> float:
        return self.callbacks / self.seconds


@asynccontextmanager
async def broker() -> AsyncIterator[str | None]:
    """The address of a RabbitMQ with the exchange, and a queue that keeps little of what it gets; None where none answers."""
    # Not aio_pika.connect: it leaves a connection that fails unclosed, for the garbage collector.
    async with aio_pika.Connection(URL(BROKER)) as connection:
        try:
            await connection.connect(timeout=3)
        except (OSError, TimeoutError):
            yield None
            return
        is_ours = await _is_missing(connection)
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EXCHANGE, "topic", durable=True)
        queue = await channel.declare_queue(exclusive=True, arguments={"x-max-length": 1000})
        await queue.bind(exchange, ROUTING_KEY)
        yield BROKER
        await queue.delete(if_empty=False)
        if is_ours:
            await exchange.delete()


async def _is_missing(connection: aio_pika.abc.AbstractConnection) -> bool:
    channel = await connection.channel()
    try:
        await channel.get_exchange(EXCHANGE, ensure=True)
    except ChannelNotFoundEntity:
        return True
    await channel.close()
    return False


def broker_place() -> str:
    place = urlsplit(BROKER)
    return f"{place.hostname}:{place.port or 5672}"


class Callbacks:
    def __init__(
        self, http: aiohttp.ClientSession, mall_key: str, ops_key: str, database: "asyncpg.Connection[Any]", mall_url: str
    ) -> None:
        self._http = http
        self._mall = {"Authorization": f"Bearer {mall_key}"}
        self._ops = {"Authorization": f"Bearer {ops_key}"}
        self._database = database
        self._addresses = {"http": mall_url, "amqp": ROUTING_KEY}
        self._numbers = 0

    async def sent(self, kind: str, seconds: float, bare: Callable[[], Awaitable[float]], teams_per_second: float) -> Sent:
        """`bare` measures the floor, callbacks per second."""
        count = round(seconds * PER_SECOND)
        took = await self._send_waiting(kind, count)
        floor = await bare()
        receipts = await self._receipts(kind, seconds, teams_per_second)
        return Sent(kind, count, took, floor, teams_per_second, sorted(receipts))

    async def _send_waiting(self, kind: str, count: int) -> float:
        """So many callbacks that were given up are sent again at once."""
        at = datetime.now(UTC)
        await self._database.execute(WAITING, kind, count, kind, self._addresses[kind], at)
        wanted = {"source": "s01", "since": at.isoformat(), "until": (at + timedelta(microseconds=1)).isoformat()}
        began = time.monotonic()
        await self._post("/v1/ops/callbacks/resend", wanted, self._ops)
        while left := await self._database.fetchval(LEFT, kind):
            if time.monotonic() - began > SENT_WITHIN:
                raise BenchError(f"{left} callbacks over {kind} were still not delivered after {SENT_WITHIN:g} s")
            await asyncio.sleep(LOOK_EVERY)
        return time.monotonic() - began

    async def _receipts(self, kind: str, seconds: float, teams_per_second: float) -> list[float]:
        """Teams that begin at a steady rate, and what passes from the last payment of each until the mall hears of it."""
        paid: dict[str, float] = {}
        heard: dict[str, float] = {}

        def note(team_id: str) -> None:
            heard.setdefault(team_id, time.perf_counter())

        async with AsyncExitStack() as parts:
            callback = await parts.enter_async_context(_listening(kind, note))
            teams = round(seconds * teams_per_second)
            async with asyncio.TaskGroup() as group:
                began = time.perf_counter()
                for number in range(teams):
                    group.create_task(self._play(callback, paid))
                    await asyncio.sleep(max(began + (number + 1) / teams_per_second - time.perf_counter(), 0))
            late = time.monotonic() + SENT_WITHIN
            while paid.keys() - heard.keys():
                if time.monotonic() > late:
                    raise BenchError(f"a mall did not hear of {len(paid.keys() - heard.keys())} teams over {kind}")
                await asyncio.sleep(LOOK_EVERY)
        return [(heard[team] - at) * 1000 for team, at in paid.items()]

    async def _play(self, callback: Json, paid: dict[str, float]) -> None:
        opener = await self._lock(callback, None)
        orders = [opener, *[await self._lock(callback, opener["team_id"]) for _ in range(TEAM_SIZE - 1)]]
        for order in orders:
            payment = {"amount": order["pay_price"], "paid_at": datetime.now(UTC).isoformat()}
            paid[opener["team_id"]] = time.perf_counter()
            await self._post(f"/v1/orders/{order['out_trade_no']}/payment", payment, self._mall)

    async def _lock(self, callback: Json, team_id: str | None) -> Json:
        self._numbers += 1
        number = f"heard-{self._numbers}"
        body: Json = OFFER | {"out_trade_no": number, "user_id": number, "callback": callback}
        return await self._post("/v1/orders", body if team_id is None else body | {"team_id": team_id}, self._mall)

    async def _post(self, path: str, body: Json, headers: dict[str, str]) -> Json:
        while True:
            async with self._http.post(path, json=body, headers=headers) as response:
                answer: Json = await response.json(content_type=None)
            if response.status < 300:
                return answer
            if not answer.get("retryable"):
                raise BenchError(f"POST {path} {body}: {response.status} {answer}")


@asynccontextmanager
async def _listening(kind: str, heard: Heard) -> AsyncIterator[Json]:
    """A mall that notes what it hears; yields the callback that leads there."""
    if kind == "http":

        async def take(request: web.Request) -> web.Response:
            heard((await request.json())["data"]["team_id"])
            return web.Response()

        app = web.Application()
        app.router.add_post("/", take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, HOST, port).start()
        yield {"kind": "http", "url": f"http://{HOST}:{port}/"}
        await runner.cleanup()
        return

    async def note(message: AbstractIncomingMessage) -> None:
        heard(json.loads(message.body)["data"]["team_id"])

    async with await aio_pika.connect(BROKER) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(EXCHANGE, HEARD_ROUTING_KEY)
        await queue.consume(note, no_ack=True)
        yield {"kind": "amqp", "routing_key": HEARD_ROUTING_KEY}
