"""Callbacks over RabbitMQ: confirmed by the broker, and routed to a queue, or else not sent."""

import asyncio
import logging
from contextlib import suppress
from datetime import datetime
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import aio_pika
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import ChannelNotFoundEntity, DeliveryError
from yarl import URL

from activities.callbacks.formats import FORMATS, UnsendableError
from activities.callbacks.senders.base import NOTE, Reply
from db.callbacks.deliveries import Delivery

EXCHANGE = "group_buy_market_exchange"
AT_ONCE = 100
"""messages under way, of all malls together: a broker that hangs must not use up the places of those who are told over HTTP"""
PATIENCE = 1.0
"""seconds for which others wait"""

# A lost connection is in the attempt that it spoiled; these would say it again, some with the broker's password.
for _noisy in ("aio_pika", "aiormq", "pamqp"):
    logging.getLogger(_noisy).setLevel(logging.CRITICAL)


class AmqpSender:
    """One connection and channel, made when something needs it, and made anew after a loss."""

    def __init__(self, url: str | None, timeout_seconds: float, exchange: str = EXCHANGE) -> None:
        self._url = url
        self._timeout = timeout_seconds
        self._exchange_name = exchange
        self._turns = asyncio.Semaphore(AT_ONCE)
        # The library finds who published what comes back unrouted by message_id: one event goes to one address at a time.
        self._of_event: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._connecting = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None

    async def send(self, delivery: Delivery, now: datetime) -> Reply:
        if self._url is None:
            return Reply(None, "no broker is configured for amqp callbacks", is_final=True)
        try:
            content = FORMATS[delivery.format].content(delivery, now)
        except UnsendableError as reason:
            return Reply(None, str(reason))
        message = Message(
            content.body,
            headers=dict(content.headers),
            content_type=content.content_type,
            content_encoding="utf-8",
            delivery_mode=DeliveryMode.PERSISTENT,
            message_id=delivery.event_id,
            timestamp=now,
            type=delivery.type,
            app_id="groupbuy",
        )
        try:
            async with asyncio.timeout(PATIENCE):
                await self._turns.acquire()
        except TimeoutError:
            return Reply(None, f"RabbitMQ at {self._place()}: it is slow, and too many messages wait for it")
        try:
            return await self._publish(message, delivery, self._url)
        finally:
            self._turns.release()

    async def _publish(self, message: Message, delivery: Delivery, url: str) -> Reply:
        used = self._connection
        alone = self._of_event.setdefault(delivery.event_id, asyncio.Lock())
        try:
            async with asyncio.timeout(self._timeout), alone:
                exchange = await self._opened(url)
                used = self._connection
                await exchange.publish(message, delivery.address, mandatory=True)
        except DeliveryError:
            return Reply(None, f"no queue is bound to {delivery.address}: the message could not be routed")
        except ChannelNotFoundEntity:
            return Reply(None, f"the broker has no exchange {self._exchange_name}")
        except TimeoutError as failure:
            return Reply(None, self._error(failure))
        except Exception as failure:  # noqa: BLE001 - the library raises whatever it met when the line broke, also bare ones
            # What broke it may not have come to the connection's own notice yet: the next try makes a new one.
            if used is self._connection:
                await self.aclose()
            return Reply(None, self._error(failure))
        return Reply(None, None)

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                await connection.close()

    async def _opened(self, url: str) -> AbstractExchange:
        async with self._connecting:
            # A line that broke off leaves `is_closed` false.
            if self._connection is None or self._connection.is_closed or not self._connection.connected.is_set():
                self._exchange = None
                await self.aclose()
                self._connection = await _connected(url, self._timeout)
            if self._exchange is None or self._channel is None or self._channel.is_closed:
                self._exchange = None
                # Looking for it closes a channel where it is missing: that channel carries nobody's message.
                self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
                self._exchange = await self._channel.get_exchange(self._exchange_name, ensure=True)
            return self._exchange

    def _error(self, failure: BaseException) -> str:
        said = "no answer in time" if isinstance(failure, TimeoutError) else f"{type(failure).__name__}: {failure}"
        for secret in (self._url, urlsplit(self._url or "").password):
            said = said.replace(secret, "…") if secret else said
        return f"RabbitMQ at {self._place()}: {said}"[:NOTE]

    def _place(self) -> str:
        place = urlsplit(self._url or "")
        return f"{place.hostname}:{place.port or 5672}"


async def _connected(url: str, timeout_seconds: float) -> AbstractConnection:
    """A new connection, which is closed if it cannot be opened.

    aio_pika.connect leaves it unclosed then, in a reference cycle: its `__del__` wants to run `close` on the event loop of
    whatever thread collects it, which may be a workflow's, or none.
    """
    connection = aio_pika.Connection(URL(url))
    try:
        await connection.connect(timeout=timeout_seconds)
    except BaseException:
        await connection.close()
        raise
    return connection
