"""One try over RabbitMQ, on a real broker: confirmed and routed, or not sent; and what a lost broker costs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime

import pytest
from aio_pika import DeliveryMode
from standardwebhooks import Webhook

from activities.callbacks.senders import amqp as module
from activities.callbacks.senders.amqp import AT_ONCE, AmqpSender
from embedded.ports import HOST, free_port
from tests.activities.callbacks.deliveries import NOW, REFUNDED, SECRET, delivery
from tests.api.polling import until
from tests.broker import BROKER, Line, Queue, queue
from tests.garbage import collected_without_a_loop

CAMPAIGN = {"activityId": 100123}
TO_QUEUE = delivery("own.key", kind="amqp")


@pytest.fixture
async def behind() -> AsyncIterator[Queue]:
    async with queue() as made:
        yield made


@pytest.fixture
async def sender(behind: Queue) -> AsyncIterator[AmqpSender]:
    async with aclosing(AmqpSender(BROKER, 5, behind.exchange)) as made:
        yield made


async def test_a_message_has_all_that_a_mall_verifies_and_dedupes_by(sender: AmqpSender, behind: Queue) -> None:
    now = datetime.now(UTC)
    assert (await sender.send(TO_QUEUE, now)).error is None
    message = await behind.message()
    assert (message.message_id, message.type, message.app_id) == ("evt_1", "team.completed", "groupbuy")
    assert (message.delivery_mode, message.content_type) == (DeliveryMode.PERSISTENT, "application/json")
    assert message.routing_key == "own.key"
    headers = {name: str(value) for name, value in message.headers.items()}
    assert Webhook(SECRET).verify(message.body, headers)["sequence"] == 7


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ({}, {"teamId": "t1", "outTradeNoList": ["n1", "n2"]}),
        (
            REFUNDED,
            {"type": "paid_formed", "userId": "u1", "teamId": "t1", "orderId": "o1", "outTradeNo": "n1", "activityId": 100123},
        ),
        (
            {**REFUNDED, "data": REFUNDED["data"].replace("paid_formed", "unsettled")},
            {
                "type": "paid_unformed",
                "userId": "u1",
                "teamId": "t1",
                "orderId": "o1",
                "outTradeNo": "n1",
                "activityId": 100123,
            },
        ),
        (
            {
                **REFUNDED,
                "type": "order.cancelled",
                "data": '{"out_trade_no": "n1", "team_id": "t1", "reason": "lock_timeout"}',
            },
            {
                "type": "unpaid_unlock",
                "userId": "u1",
                "teamId": "t1",
                "orderId": "o1",
                "outTradeNo": "n1",
                "activityId": 100123,
            },
        ),
    ],
    ids=["completed", "refunded", "unsettled", "unpaid"],
)
async def test_the_original_s_consumers_read_text(
    sender: AmqpSender, behind: Queue, fields: dict[str, object], body: dict[str, object]
) -> None:
    assert (await sender.send(delivery("own.key", kind="amqp", format="original", secrets=(), **fields), NOW)).error is None
    message = await behind.message()
    assert (message.content_type, message.content_encoding) == ("text/plain", "utf-8")
    assert json.loads(message.body) == body


async def test_a_message_that_no_queue_takes_is_a_failure_until_one_is_bound(sender: AmqpSender, behind: Queue) -> None:
    elsewhere = delivery("nobody.listens", kind="amqp")
    reply = await sender.send(elsewhere, NOW)
    assert reply.error == "no queue is bound to nobody.listens: the message could not be routed"
    assert not reply.is_final
    assert (await sender.send(TO_QUEUE, NOW)).error is None
    await behind.bind("nobody.listens")
    assert (await sender.send(elsewhere, NOW)).error is None


async def test_an_event_that_goes_to_several_queues_at_once_is_judged_at_each(sender: AmqpSender, behind: Queue) -> None:
    """All under one message_id, by which alone the library knows what the broker returns."""
    keys = [f"nobody.{number}" if number % 3 else "own.key" for number in range(60)]
    replies = await asyncio.gather(*(sender.send(delivery(key, kind="amqp"), NOW) for key in keys))
    assert [reply.error is None for reply in replies] == [key == "own.key" for key in keys]
    assert [(await behind.message()).message_id for _ in range(20)] == ["evt_1"] * 20


async def test_a_missing_exchange_is_a_failure_until_it_is_declared(behind: Queue) -> None:
    name = f"{behind.exchange}-later"
    async with aclosing(AmqpSender(BROKER, 5, name)) as sender:
        for _ in range(2):
            reply = await sender.send(TO_QUEUE, NOW)
            assert (reply.error, reply.is_final) == (f"the broker has no exchange {name}", False)
        declared = await behind.channel.declare_exchange(name, "topic", auto_delete=True)
        await behind.queue.bind(declared, "own.key")
        assert (await sender.send(TO_QUEUE, NOW)).error is None


async def test_an_exchange_that_goes_away_is_a_failure_and_is_found_again(behind: Queue) -> None:
    name = f"{behind.exchange}-now-and-then"
    async with aclosing(AmqpSender(BROKER, 5, name)) as sender:
        for _ in range(2):
            declared = await behind.channel.declare_exchange(name, "topic")
            await behind.queue.bind(declared, "own.key")
            assert (await sender.send(TO_QUEUE, NOW)).error is None
            await behind.message()
            await behind.channel.exchange_delete(name)
            assert (await sender.send(TO_QUEUE, NOW)).error == f"the broker has no exchange {name}"
        assert await behind.is_empty()


async def test_a_broken_line_costs_at_most_an_attempt(behind: Queue) -> None:
    async with Line() as line, aclosing(AmqpSender(line.url, 5, behind.exchange)) as sender:
        assert (await sender.send(TO_QUEUE, NOW)).error is None
        await line.cut()
        replies = [await sender.send(TO_QUEUE, NOW) for _ in range(2)]
        assert replies[-1].error is None
        await line.close()
        reply = await sender.send(TO_QUEUE, NOW)
        assert reply.error is not None
        assert reply.error.startswith(f"RabbitMQ at {HOST}:")
        await line.open()
        assert (await sender.send(TO_QUEUE, NOW)).error is None


async def test_a_connection_that_was_lost_unused_is_closed_before_the_next_one(behind: Queue) -> None:
    async with collected_without_a_loop(), Line() as line, aclosing(AmqpSender(line.url, 5, behind.exchange)) as sender:
        assert (await sender.send(TO_QUEUE, NOW)).error is None
        await line.cut()

        async def is_noticed() -> bool:
            return sender._connection is not None and not sender._connection.connected.is_set()

        await until(is_noticed, bool)
        assert (await sender.send(TO_QUEUE, NOW)).error is None


async def test_what_is_under_way_when_the_line_breaks_is_not_taken_for_delivered(behind: Queue) -> None:
    async with Line() as line, aclosing(AmqpSender(line.url, 5, behind.exchange)) as sender:
        assert (await sender.send(TO_QUEUE, NOW)).error is None
        sent = [asyncio.create_task(sender.send(delivery("own.key", kind="amqp", event_id=f"e{n}"), NOW)) for n in range(200)]
        await asyncio.sleep(0)
        await line.cut()
        replies = await asyncio.gather(*sent)
        assert (await sender.send(delivery("own.key", kind="amqp", event_id="last"), NOW)).error is None
    arrived = set()
    while (message := await behind.message()).message_id != "last":
        arrived.add(message.message_id)
    told = {f"e{number}" for number, reply in enumerate(replies) if reply.error is None}
    assert told <= arrived


async def test_without_a_broker_it_says_so_and_keeps_the_password_to_itself() -> None:
    assert (await AmqpSender(None, 5).send(TO_QUEUE, NOW)).is_final
    url = f"amqp://groupbuy:pa55word@{HOST}:{free_port()}/"
    reply = await AmqpSender(url, 5).send(TO_QUEUE, NOW)
    assert reply.error is not None
    assert not reply.is_final
    assert "pa55word" not in reply.error


async def test_a_wrong_password_is_not_repeated(behind: Queue) -> None:  # noqa: ARG001 - there is a broker
    reply = await AmqpSender(BROKER.replace("guest:guest", "guest:pa55word"), 5).send(TO_QUEUE, NOW)
    assert reply.error is not None
    assert "pa55word" not in reply.error


async def test_a_broker_that_hangs_is_left_in_time_and_keeps_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hung.append(writer)

    hung: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(say_nothing, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        reply = await AmqpSender(f"amqp://guest:guest@{HOST}:{port}/", 0.2).send(TO_QUEUE, NOW)
        monkeypatch.setattr(module, "PATIENCE", 0.05)
        patient = AmqpSender(f"amqp://guest:guest@{HOST}:{port}/", 0.5)
        crowd = await asyncio.gather(*(patient.send(TO_QUEUE, NOW) for _ in range(AT_ONCE + 50)))
        for writer in hung:
            writer.close()
    assert reply.error == f"RabbitMQ at {HOST}:{port}: no answer in time"
    waited = f"RabbitMQ at {HOST}:{port}: it is slow, and too many messages wait for it"
    assert [each.error for each in crowd].count(waited) == 50
