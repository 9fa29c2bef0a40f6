"""Receives callbacks over RabbitMQ, from a queue of its own that is bound to the platform's exchange."""

import asyncio
import hmac
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

import aio_pika
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue
from pydantic import ValidationError
from standardwebhooks import Webhook
from yarl import URL

from mall.events import Event
from mall.inbox import Inbox
from mall.store import Signature
from mall.switches import Switches, Transport

EXCHANGE = "group_buy_market_exchange"

_PREFETCH = 16  # messages that are not yet acknowledged
_RETRY_SECONDS = 2.0
_CONNECT_SECONDS = 5.0

log = logging.getLogger(__name__)


class AmqpReceiver:
    """The queue is exclusive to the connection, and deleted with it: events lost that way are still in the platform's feed."""

    def __init__(
        self, url: str | None, routing_key: str, webhooks: Sequence[Webhook], inbox: Inbox, switches: Switches
    ) -> None:
        self._url = url
        self._routing_key = routing_key
        self._webhooks = webhooks
        self._inbox = inbox
        self._switches = switches
        # Why RabbitMQ cannot be switched to now, for the page.
        self.problem: str | None = "connecting to the broker" if url else "No broker is configured (GROUPBUY_AMQP_URL)."

    async def run(self) -> None:
        """Receives until it is cancelled; connects again whenever the connection ends."""
        while self._url:
            try:
                await self._receive(self._url)
            except Exception as error:  # noqa: BLE001 - the library raises whatever it meets, also plain Exceptions
                self.problem = f"The broker cannot be reached ({type(error).__name__})."
                log.warning("RabbitMQ: %s: %s", type(error).__name__, error)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _receive(self, url: str) -> None:
        """Receives until the connection ends."""
        # Not aio_pika.connect: it leaves a connection that fails unclosed, for the garbage collector.
        async with aio_pika.Connection(URL(url)) as connection:
            # Not connection.closed(): it ends when the connection is closed here, and never when the broker goes away.
            lost = asyncio.Event()
            connection.close_callbacks.add(lambda *_: lost.set())
            await connection.connect(timeout=_CONNECT_SECONDS)
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=_PREFETCH)
            exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
            queue = await channel.declare_queue(exclusive=True)
            await queue.bind(exchange, self._routing_key)
            self.problem = None
            consuming = asyncio.create_task(self._consume_while_up(queue))
            losing = asyncio.create_task(lost.wait())
            try:
                await asyncio.wait([consuming, losing], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (losing, consuming):
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
        self.problem = "The broker has ended the connection."

    async def _consume_while_up(self, queue: AbstractQueue) -> None:
        """Consumes messages, except while the mall is down: they stay in the queue then."""
        while True:
            while self._inbox.is_down:
                await self._switches.wait_for_change()
            tag = await queue.consume(self._receive_message)
            while not self._inbox.is_down:
                await self._switches.wait_for_change()
            await queue.cancel(tag)

    async def _receive_message(self, message: AbstractIncomingMessage) -> None:
        event_id = message.message_id
        if event_id is None or not any(_is_signed(webhook, event_id, message) for webhook in self._webhooks):
            self._inbox.reject(Transport.RABBITMQ, Signature.WRONG, "rejected: wrong signature", event_id)
            await message.reject()
            return
        try:
            event = Event.model_validate_json(message.body)
        except ValidationError as error:
            log.warning("a signed message that is no event: %s", error)
            self._inbox.reject(Transport.RABBITMQ, Signature.GOOD, "rejected: no event", event_id)
            await message.reject()
            return
        if self._inbox.accept(event_id, event, Transport.RABBITMQ, Signature.GOOD).delayed:
            await self._inbox.delay()
        await message.ack()


def _is_signed(webhook: Webhook, event_id: str, message: AbstractIncomingMessage) -> bool:
    """Verifies the signature, because anybody who can reach the broker may publish; not the age, because messages can wait."""
    try:
        at = datetime.fromtimestamp(int(str(message.headers["webhook-timestamp"])), UTC)
        expected = webhook.sign(event_id, at, message.body.decode()).encode()
        given = str(message.headers["webhook-signature"]).split()
    except (KeyError, ValueError, OverflowError, OSError):
        return False
    return any(hmac.compare_digest(expected, each.encode()) for each in given)
