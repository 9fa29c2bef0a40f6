"""A mall that is called back over RabbitMQ, and goes on listening when that was restarted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aio_pika
from aio_pika.exceptions import AMQPError
from yarl import URL

from activities.callbacks.senders.amqp import EXCHANGE
from embedded.demo_data import SOURCE
from tests.api.receiver import Received, Receiver

NAME = f"{SOURCE}.drill"
"""of the queue, and the routing key of its messages"""
AGAIN_AFTER = 0.5


class QueueReceiver(Receiver):
    def callback(self, path: str = NAME) -> dict[str, str]:
        return {"kind": "amqp", "routing_key": path}

    async def consume(self, url: str) -> None:
        """Takes message after message until cancelled."""
        while True:
            with suppress(AMQPError, OSError):
                async with aio_pika.Connection(URL(url)) as connection:
                    await connection.connect(timeout=5)
                    channel = await connection.channel()
                    exchange = await channel.declare_exchange(EXCHANGE, "topic", durable=True)
                    queue = await channel.declare_queue(NAME, durable=True)
                    await queue.bind(exchange, NAME)
                    async for message in queue.iterator():
                        headers = {name: str(value) for name, value in message.headers.items()}
                        body = self._webhook.verify(message.body, headers)
                        self.received.append(Received(NAME, str(message.message_id), headers, body))
                        await message.ack()
            await asyncio.sleep(AGAIN_AFTER)


@asynccontextmanager
async def consuming(url: str, webhook_secret: str) -> AsyncIterator[Receiver]:
    receiver = QueueReceiver(webhook_secret)
    task = asyncio.create_task(receiver.consume(url))
    try:
        yield receiver
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
