"""Receives callbacks over RabbitMQ: a queue of the mall's own, bound to the platform's exchange."""

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
from mall.inbox import Arrived, Inbox
from mall.store import Signature
from mall.switches import Switches, Way

EXCHANGE = "group_buy_market_exchange"

_AT_ONCE = 16  # messages that are taken and not yet acknowledged
_RETRY_SECONDS = 2.0
_CONNECT_SECONDS = 5.0

log = logging.getLogger(__name__)


class QueueReceiver:
    """The queue is this connection's alone: what waits in it ends with it, and only the platform's feed still has it."""

    def __init__(
        self, url: str | None, routing_key: str, webhooks: Sequence[Webhook], inbox: Inbox, switches: Switches
    ) -> None:
        self._url = url
        self._routing_key = routing_key
        self._webhooks = webhooks
        self._inbox = inbox
        self._switches = switches
        self.problem: str | None = "connecting to the broker" if url else "No broker is configured (GROUPBUY_AMQP_URL)."

    async def keep_receiving(self) -> None:
        while self._url:
            try:
                await self._receive(self._url)
            except Exception as error:  # noqa: BLE001 - the library raises whatever it met, also bare ones
                self.problem = f"The broker cannot be reached ({type(error).__name__})."
                log.warning("RabbitMQ: %s: %s", type(error).__name__, error)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _receive(self, url: str) -> None:
        """Until the connection ends."""
        # Not aio_pika.connect: it leaves a connection that fails unclosed, for the garbage collector.
        async with aio_pika.Connection(URL(url)) as connection:
            await connection.connect(timeout=_CONNECT_SECONDS)
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=_AT_ONCE)
            exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
            queue = await channel.declare_queue(exclusive=True)
            await queue.bind(exchange, self._routing_key)
            self.problem = None
            consuming = asyncio.create_task(self._consume_while_up(queue))
            try:
                await asyncio.wait([consuming, asyncio.ensure_future(connection.closed())], return_when=asyncio.FIRST_COMPLETED)
            finally:
                consuming.cancel()
                with suppress(asyncio.CancelledError):
                    await consuming
        self.problem = "The broker has ended the connection."

    async def _consume_while_up(self, queue: AbstractQueue) -> None:
        """A mall that is down takes nothing: its messages wait."""
        while True:
            while self._inbox.is_down:
                await self._switches.changed()
            tag = await queue.consume(self._take)
            while not self._inbox.is_down:
                await self._switches.changed()
            await queue.cancel(tag)

    async def _take(self, message: AbstractIncomingMessage) -> None:
        event_id = message.message_id
        if event_id is None or not any(_signed(webhook, event_id, message) for webhook in self._webhooks):
            self._inbox.turn_away(Arrived(Way.RABBITMQ, Signature.WRONG, event_id), "rejected: wrong signature")
            await message.reject()
            return
        try:
            event = Event.model_validate_json(message.body)
        except ValidationError as error:
            log.warning("a signed message that is no event: %s", error)
            self._inbox.turn_away(Arrived(Way.RABBITMQ, Signature.GOOD, event_id), "rejected: no event")
            await message.reject()
            return
        if self._inbox.take(event_id, event, Way.RABBITMQ, Signature.GOOD).late:
            await self._inbox.linger()
        await message.ack()


def _signed(webhook: Webhook, event_id: str, message: AbstractIncomingMessage) -> bool:
    """Whoever reaches the broker may publish. How old it is does not matter: it may have waited in the queue for long."""
    try:
        at = datetime.fromtimestamp(int(str(message.headers["webhook-timestamp"])), UTC)
        expected = webhook.sign(event_id, at, message.body.decode()).encode()
        given = str(message.headers["webhook-signature"]).split()
    except (KeyError, ValueError, OverflowError, OSError):
        return False
    return any(hmac.compare_digest(expected, each.encode()) for each in given)
