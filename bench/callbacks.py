"""What callbacks cost: throughput beside a bare loop of the same clients, and the delay from a payment to its callback."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import asyncpg
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity
from temporalio.client import Client
from yarl import URL

from activities.callbacks.senders.amqp import EXCHANGE
from bench.api_client import LOAD_OFFER, TEAM_SIZE, ApiClient, Json
from bench.callback_floor import ROUTING_KEY
from bench.callback_receiver import listening
from bench.processes import BenchError
from embedded.ports import HOST, free_port
from workflows.starters import start_redelivery

BROKER = os.environ.get("GROUPBUY_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
CALLBACKS_PER_SECOND = 500
"""callbacks of the backlog, per second that a round is long"""
CALLBACKS_PER_WORKFLOW = 200
DELIVERED_WITHIN = 120.0
POLL_EVERY = 0.02
TEAMS_ROUTING_KEY = "s01.bench.teams"

OnCallback = Callable[[str], None]
"""Called with the team's id."""

PENDING_CALLBACKS = """
WITH event AS (
  INSERT INTO events (event_id, source, type, team_id, data, occurred_at)
  SELECT 'evt_bench_' || $1 || '_' || number, 's01', 'team.failed', 'bench-callbacks',
         jsonb_build_object('team_id', repeat('x', 26), 'reason', 'expired',
                            'out_trade_nos', jsonb_build_array(repeat('x', 20), repeat('x', 20), repeat('x', 20))), $5
    FROM generate_series(1, $2::int) AS number
  RETURNING event_id
)
INSERT INTO deliveries (event_id, kind, address, format, status, attempts, since, next_attempt_at)
SELECT event_id, $3, $4, 'standard', 'pending', 0, $5, $5 FROM event
RETURNING event_id
"""
UNDELIVERED = "SELECT count(*) FROM deliveries WHERE status <> 'delivered' AND event_id LIKE 'evt\\_bench\\_' || $1 || '\\_%'"


@dataclass(frozen=True)
class CallbackResult:
    kind: str
    callbacks: int
    seconds: float
    """from the start of the workflows that deliver all callbacks until the mall had the last one"""
    bare_per_second: float
    teams_per_second: float
    delays: list[float]
    """sorted milliseconds from sending a team's last payment until the mall receives the callback"""

    @property
    def rate(self) -> float:
        return self.callbacks / self.seconds


@asynccontextmanager
async def broker() -> AsyncIterator[str | None]:
    """Yields the address of a RabbitMQ that has the exchange and a queue of bounded length, or None where none answers."""
    # Not aio_pika.connect: it leaves a connection that fails unclosed, for the garbage collector.
    async with aio_pika.Connection(URL(BROKER)) as connection:
        try:
            await connection.connect(timeout=3)
        except (OSError, TimeoutError):
            yield None
            return
        is_missing = await _is_exchange_missing(connection)
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EXCHANGE, "topic", durable=True)
        queue = await channel.declare_queue(exclusive=True, arguments={"x-max-length": 1000})
        await queue.bind(exchange, ROUTING_KEY)
        yield BROKER
        await queue.delete(if_empty=False)
        if is_missing:
            await exchange.delete()


async def _is_exchange_missing(connection: aio_pika.abc.AbstractConnection) -> bool:
    channel = await connection.channel()
    try:
        await channel.get_exchange(EXCHANGE, ensure=True)
    except ChannelNotFoundEntity:
        return True
    await channel.close()
    return False


def broker_address() -> str:
    """The broker's host and port, without credentials."""
    parts = urlsplit(BROKER)
    return f"{parts.hostname}:{parts.port or 5672}"


class CallbackBench:
    def __init__(self, mall: ApiClient, client: Client, database: "asyncpg.Connection[Any]", mall_url: str) -> None:
        self._mall = mall
        self._client = client
        self._database = database
        self._addresses = {"http": mall_url, "amqp": ROUTING_KEY}
        self._locked = 0

    async def measure(
        self, kind: str, seconds: float, bare_rate: Callable[[], Awaitable[float]], teams_per_second: float
    ) -> CallbackResult:
        """`bare_rate` measures the floor, in callbacks per second."""
        count = round(seconds * CALLBACKS_PER_SECOND)
        took = await self._deliver(kind, count)
        floor = await bare_rate()
        delays = await self._delays(kind, seconds, teams_per_second)
        return CallbackResult(kind, count, took, floor, teams_per_second, sorted(delays))

    async def _deliver(self, kind: str, count: int) -> float:
        """Writes so many callbacks and has them delivered, by workflows side by side; returns the seconds that took."""
        rows = await self._database.fetch(PENDING_CALLBACKS, kind, count, kind, self._addresses[kind], datetime.now(UTC))
        began = time.monotonic()
        for first in range(0, count, CALLBACKS_PER_WORKFLOW):
            event_ids = [row["event_id"] for row in rows[first : first + CALLBACKS_PER_WORKFLOW]]
            await start_redelivery(self._client, f"bench-{kind}-{first}", event_ids, operator="bench")
        while left := await self._database.fetchval(UNDELIVERED, kind):
            if time.monotonic() - began > DELIVERED_WITHIN:
                raise BenchError(f"{left} callbacks over {kind} were still not delivered after {DELIVERED_WITHIN:g} s")
            await asyncio.sleep(POLL_EVERY)
        return time.monotonic() - began

    async def _delays(self, kind: str, seconds: float, teams_per_second: float) -> list[float]:
        """Opens teams at a steady rate; returns the milliseconds from each one's last payment to its callback."""
        paid_at: dict[str, float] = {}
        received_at: dict[str, float] = {}

        def note(team_id: str) -> None:
            received_at.setdefault(team_id, time.perf_counter())

        async with AsyncExitStack() as cleanup:
            offer = LOAD_OFFER | {"callback": await cleanup.enter_async_context(_listening(kind, note))}
            teams = round(seconds * teams_per_second)
            async with asyncio.TaskGroup() as group:
                began = time.perf_counter()
                for number in range(teams):
                    group.create_task(self._play(offer, paid_at))
                    await asyncio.sleep(max(began + (number + 1) / teams_per_second - time.perf_counter(), 0))
            deadline = time.monotonic() + DELIVERED_WITHIN
            while missing := paid_at.keys() - received_at.keys():
                if time.monotonic() > deadline:
                    raise BenchError(f"the callbacks of {len(missing)} teams over {kind} did not arrive")
                await asyncio.sleep(POLL_EVERY)
        return [(received_at[team] - at) * 1000 for team, at in paid_at.items()]

    async def _play(self, offer: Json, paid_at: dict[str, float]) -> None:
        opener = await self._lock(offer, None)
        for order in [opener, *[await self._lock(offer, opener["team_id"]) for _ in range(TEAM_SIZE - 1)]]:
            paid_at[opener["team_id"]] = time.perf_counter()
            await self._mall.pay(order)

    async def _lock(self, offer: Json, team_id: str | None) -> Json:
        self._locked += 1
        return await self._mall.lock(f"callback-{self._locked}", offer, team_id)


@asynccontextmanager
async def _listening(kind: str, on_callback: OnCallback) -> AsyncIterator[Json]:
    """Receives callbacks in this process; yields the `callback` of an order that leads here."""
    if kind == "http":
        port = free_port()
        async with listening(port, lambda body: on_callback(json.loads(body)["data"]["team_id"])):
            yield {"kind": "http", "url": f"http://{HOST}:{port}/"}
        return

    async def receive(message: AbstractIncomingMessage) -> None:
        on_callback(json.loads(message.body)["data"]["team_id"])

    async with await aio_pika.connect(BROKER) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(EXCHANGE, TEAMS_ROUTING_KEY)
        await queue.consume(receive, no_ack=True)
        yield {"kind": "amqp", "routing_key": TEAMS_ROUTING_KEY}
