"""A RabbitMQ for tests, that of this machine or GROUPBUY_TEST_AMQP_URL; reached through a line that can be cut."""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from yarl import URL

from embedded.ports import HOST
from tests.api.polling import until
from tests.line import Line

BROKER = os.environ.get("GROUPBUY_TEST_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")


@dataclass
class Queue:
    """A topic exchange of the test's own, and a queue behind it."""

    channel: AbstractChannel
    exchange: str
    queue: AbstractQueue

    async def bind(self, routing_key: str) -> None:
        await self.queue.bind(self.exchange, routing_key)

    async def message(self) -> AbstractIncomingMessage:
        """The next one that has come, or will."""

        async def get() -> AbstractIncomingMessage | None:
            return await self.queue.get(no_ack=True, fail=False)

        message = await until(get, lambda got: got is not None, 10)
        assert message is not None
        return message

    async def is_empty(self) -> bool:
        return await self.queue.get(no_ack=True, fail=False) is None


@asynccontextmanager
async def queue(exchange: str = "") -> AsyncIterator[Queue]:
    """Without a broker the test is skipped. An exchange with a name is left where it was there before."""
    # Not aio_pika.connect: it leaves a connection that fails unclosed, for the garbage collector.
    async with aio_pika.Connection(URL(BROKER)) as connection:
        try:
            await connection.connect(timeout=5)
        except (OSError, TimeoutError) as failure:
            pytest.skip(f"no RabbitMQ answers at {urlsplit(BROKER).hostname}:{urlsplit(BROKER).port} ({failure})")
        channel = await connection.channel()
        name = exchange or f"groupbuy-test-{secrets.token_hex(6)}"
        made = await channel.declare_exchange(name, "topic", durable=True, auto_delete=not exchange)
        own = await channel.declare_queue(f"groupbuy-test-{secrets.token_hex(6)}", exclusive=True)
        await own.bind(made, "own.key")
        yield Queue(channel, name, own)


class BrokerLine(Line):
    """A line to the broker."""

    def __init__(self) -> None:
        place = urlsplit(BROKER)
        super().__init__(place.hostname or HOST, place.port or 5672)

    @property
    def url(self) -> str:
        place = urlsplit(BROKER)
        account = place.netloc.rpartition("@")[0]
        return urlunsplit(place._replace(netloc=f"{account}@{HOST}:{self.port}"))
