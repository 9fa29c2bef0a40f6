"""Callbacks over RabbitMQ, on a real broker; skipped where none answers."""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import pytest

from mall.amqp_receiver import EXCHANGE
from tests.api.polling import until
from tests.broker import BROKER, BrokerLine
from tests.mall.conftest import SECRET, Mall, StartMall, event, signed

LONG_AGO = datetime(2026, 3, 1, tzinfo=UTC)
"""older than HTTP callbacks may be: a message can wait in a queue for days"""

COMPLETED = event("team.completed", 1, team_id="t1", completion="target", out_trade_nos=["a"])
QUESTION = event("order.refund_requested", 2, team_id="t1", out_trade_no="b", amount="80.00", reason="buyer")


def _is_listening(url: str) -> bool:
    address = urlsplit(url)
    try:
        socket.create_connection((address.hostname, address.port or 5672), timeout=1).close()
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not _is_listening(BROKER), reason="no RabbitMQ at GROUPBUY_TEST_AMQP_URL")


class Exchange:
    def __init__(self, exchange: aio_pika.abc.AbstractExchange) -> None:
        self._exchange = exchange
        self.routing_key = f"demo_mall_test_{secrets.token_hex(6)}"

    async def publish(self, event_id: str, body: bytes, secret: str = SECRET) -> None:
        message = aio_pika.Message(body, message_id=event_id)
        message.headers.update(signed(event_id, body, secret=secret, at=LONG_AGO))
        await self._exchange.publish(message, self.routing_key)


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    async with await aio_pika.connect(BROKER) as connection:
        channel = await connection.channel()
        yield Exchange(await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True))


async def _switch_to_rabbitmq(mall: Mall) -> None:
    await until(lambda: mall.press("/shop/switches", way="rabbitmq"), lambda answer: answer.status == 204)


async def _log(mall: Mall, length: int) -> list[tuple[str | None, str, bool, str]]:
    """Waits for so many attempts; returns type, signature, duplicate and answer of each, oldest first."""

    async def attempts() -> list[Any]:
        return list((await mall.get("/shop", buyer="ann"))["arrivals"])

    found = await until(attempts, lambda attempts: len(attempts) >= length)
    return [(each["type"], each["signature"], each["duplicate"], each["answer"]) for each in reversed(found)]


async def test_messages_are_processed_once_and_stay_queued_while_down(start_mall: StartMall, exchange: Exchange) -> None:
    async with start_mall(amqp_url=BROKER, amqp_routing_key=exchange.routing_key) as mall:
        await _switch_to_rabbitmq(mall)
        await exchange.publish("evt_1", COMPLETED)
        await exchange.publish("evt_1", COMPLETED)
        verified = ("team.completed", "good")
        assert await _log(mall, 2) == [(*verified, False, "acknowledged"), (*verified, True, "acknowledged")]

        await exchange.publish("evt_2", b"{}")
        assert (await _log(mall, 3))[2] == (None, "good", False, "rejected: no event")

        await exchange.publish("evt_2", COMPLETED, secret="whsec_c29tZWJvZHkgZWxzZQ==")
        assert (await _log(mall, 4))[3] == (None, "wrong", False, "rejected: wrong signature")

        # A queue carries no answer, so there is no veto.
        await mall.switch(mood="veto")
        await exchange.publish("evt_3", QUESTION)
        assert (await _log(mall, 5))[4] == ("order.refund_requested", "good", False, "acknowledged")

        await mall.switch(mood="down")
        await exchange.publish("evt_4", event("order.cancelled", 3, team_id="t1", out_trade_no="c", reason="buyer"))
        assert "c" not in await mall.to_do()
        await mall.switch(mood="normal")
        await _log(mall, 6)
        assert await mall.to_do() == {"a": "ship", "b": "hold", "c": "closed"}


@pytest.mark.parametrize("is_busy", [False, True], ids=["it only listens", "it changes its mood"])
async def test_the_mall_reconnects_to_a_broker_that_was_gone(
    start_mall: StartMall, exchange: Exchange, *, is_busy: bool
) -> None:
    async with BrokerLine() as line, start_mall(amqp_url=line.url, amqp_routing_key=exchange.routing_key) as mall:
        await _switch_to_rabbitmq(mall)
        if is_busy:
            await asyncio.gather(line.cut(), mall.switch(mood="down"))
            await mall.switch(mood="normal")
        else:
            await line.cut()

        async def publish() -> list[Any]:
            await exchange.publish("evt_1", COMPLETED)
            return list((await mall.get("/shop", buyer="ann"))["arrivals"])

        await until(publish, bool)


@pytest.mark.parametrize("port", [1, 99999])
async def test_the_page_shows_that_the_broker_cannot_be_reached(start_mall: StartMall, port: int) -> None:
    async def problem() -> str:
        return str((await mall.get("/shop", buyer="ann"))["switches"]["no_rabbitmq"])

    async with start_mall(amqp_url=f"amqp://guest:guest@127.0.0.1:{port}/") as mall:
        await until(problem, lambda problem: "cannot be reached" in problem)
