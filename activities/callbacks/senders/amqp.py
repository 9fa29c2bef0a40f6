"""Callbacks over RabbitMQ: a message counts as sent when the broker confirms it and has routed it to a queue."""

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

from activities.callbacks.formats import FORMATS, LEGACY, UnsendableError
from activities.callbacks.senders.base import MAX_TEXT, SendResult, traceparent
from db.callbacks.deliveries import Delivery
from domain.addresses import routing_key_refusal

EXCHANGE = "group_buy_market_exchange"
CONCURRENT_MESSAGES = 100
"""messages of all malls that are sent side by side: a broker that hangs must not use up the slots of HTTP callbacks"""
SLOT_TIMEOUT = 1.0
"""seconds for which further messages wait"""

# A lost connection is part of the attempt that it failed; these loggers would repeat it, some with the broker's password.
for _logger in ("aio_pika", "aiormq", "pamqp"):
    logging.getLogger(_logger).setLevel(logging.CRITICAL)


class AmqpSender:
    """Holds one connection and one channel. They are opened when a message needs them, and reopened after a loss."""

    def __init__(self, url: str | None, timeout_seconds: float, exchange: str = EXCHANGE) -> None:
        self._url = url
        self._timeout = timeout_seconds
        self._exchange_name = exchange
        self._slots = asyncio.Semaphore(CONCURRENT_MESSAGES)
        # The library finds the publisher of a returned message by its message_id, so one event is published once at a time.
        self._event_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._opening = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None

    async def send(self, delivery: Delivery, now: datetime) -> SendResult:
        if self._url is None:
            return SendResult(None, "no broker is configured for amqp callbacks", is_final=True)
        if refusal := routing_key_refusal(delivery.address, delivery.routing_key_prefixes, legacy=delivery.format == LEGACY):
            return SendResult(None, f"the routing key is refused: {refusal}")
        try:
            content = FORMATS[delivery.format].content(delivery, now)
        except UnsendableError as exc:
            return SendResult(None, str(exc))
        message = Message(
            content.body,
            headers={**content.headers, **traceparent()},
            content_type=content.content_type,
            content_encoding="utf-8",
            delivery_mode=DeliveryMode.PERSISTENT,
            message_id=delivery.event_id,
            timestamp=now,
            type=delivery.type,
            app_id="groupbuy",
        )
        try:
            async with asyncio.timeout(SLOT_TIMEOUT):
                await self._slots.acquire()
        except TimeoutError:
            return SendResult(None, f"RabbitMQ at {self._broker()}: it is slow, and too many messages wait for it")
        try:
            return await self._publish(message, delivery, self._url)
        finally:
            self._slots.release()

    async def _publish(self, message: Message, delivery: Delivery, url: str) -> SendResult:
        used = self._connection
        event_lock = self._event_locks.setdefault(delivery.event_id, asyncio.Lock())
        try:
            async with asyncio.timeout(self._timeout), event_lock:
                exchange = await self._open_exchange(url)
                used = self._connection
                await exchange.publish(message, delivery.address, mandatory=True)
        except DeliveryError:
            return SendResult(None, f"no queue is bound to {delivery.address}: the message could not be routed")
        except ChannelNotFoundEntity:
            return SendResult(None, f"the broker has no exchange {self._exchange_name}")
        except TimeoutError as exc:
            return SendResult(None, self._error(exc))
        except Exception as exc:  # noqa: BLE001 - when a connection breaks, the library raises exceptions of any type
            # The connection may not have noticed that it is broken, so the next attempt must not reuse it.
            if used is self._connection:
                await self.aclose()
            return SendResult(None, self._error(exc))
        return SendResult(None, None)

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                await connection.close()

    async def _open_exchange(self, url: str) -> AbstractExchange:
        async with self._opening:
            # `is_closed` stays false on a connection that was lost.
            if self._connection is None or self._connection.is_closed or not self._connection.connected.is_set():
                self._exchange = None
                await self.aclose()
                self._connection = await _connect(url, self._timeout)
            if self._exchange is None or self._channel is None or self._channel.is_closed:
                self._exchange = None
                # The broker closes a channel that asks for a missing exchange, so a new channel asks before it publishes.
                self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
                self._exchange = await self._channel.get_exchange(self._exchange_name, ensure=True)
            return self._exchange

    def _error(self, exc: BaseException) -> str:
        text = "no answer in time" if isinstance(exc, TimeoutError) else f"{type(exc).__name__}: {exc}"
        for secret in (self._url, urlsplit(self._url or "").password):
            text = text.replace(secret, "…") if secret else text
        return f"RabbitMQ at {self._broker()}: {text}"[:MAX_TEXT]

    def _broker(self) -> str:
        url = urlsplit(self._url or "")
        return f"{url.hostname}:{url.port or 5672}"


async def _connect(url: str, timeout_seconds: float) -> AbstractConnection:
    """Opens a connection, and closes it where that fails.

    aio_pika.connect leaves a failed connection unclosed in a reference cycle. Its `__del__` calls `close` on the event loop of
    whichever thread collects it, which may be a workflow's, or none.
    """
    connection = aio_pika.Connection(URL(url))
    try:
        await connection.connect(timeout=timeout_seconds)
    except BaseException:
        await connection.close()
        raise
    return connection
