"""One attempt over RabbitMQ, on a real broker: confirmed and routed, or failed; and the cost of a lost connection."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime

import pytest
from aio_pika import DeliveryMode
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span
from standardwebhooks import Webhook

from activities.callbacks.senders import amqp as module
from activities.callbacks.senders.amqp import CONCURRENT_MESSAGES, AmqpSender
from embedded.ports import HOST, free_port
from tests.activities.callbacks.deliveries import NOW, REFUNDED, SECRET, delivery
from tests.api.polling import until
from tests.broker import BROKER, BrokerLine, Queue, queue
from tests.garbage import collected_without_a_loop

CAMPAIGN = {"activityId": 100123}
TO_QUEUE = delivery("own.key", kind="amqp")


@pytest.fixture
async def broker_queue() -> AsyncIterator[Queue]:
    async with queue() as made:
        yield made


@pytest.fixture
async def sender(broker_queue: Queue) -> AsyncIterator[AmqpSender]:
    async with aclosing(AmqpSender(BROKER, 5, broker_queue.exchange)) as made:
        yield made


async def test_a_message_has_what_a_mall_verifies_and_deduplicates_by(sender: AmqpSender, broker_queue: Queue) -> None:
    now = datetime.now(UTC)
    assert (await sender.send(TO_QUEUE, now)).error is None
    message = await broker_queue.message()
    assert (message.message_id, message.type, message.app_id) == ("evt_1", "team.completed", "groupbuy")
    assert (message.delivery_mode, message.content_type) == (DeliveryMode.PERSISTENT, "application/json")
    assert message.routing_key == "own.key"
    headers = {name: str(value) for name, value in message.headers.items()}
    body = Webhook(SECRET).verify(message.body, headers)
    assert (body["sequence"], body["source"]) == (7, "s01")


async def test_a_message_names_the_trace_that_it_belongs_to(sender: AmqpSender, broker_queue: Queue) -> None:
    part = SpanContext(trace_id=0xABC, span_id=0xDEF, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    with use_span(NonRecordingSpan(part)):
        assert (await sender.send(TO_QUEUE, NOW)).error is None
    message = await broker_queue.message()
    assert message.headers["traceparent"] == f"00-{0xABC:032x}-{0xDEF:016x}-01"


async def test_another_party_s_queue_is_not_written_to(sender: AmqpSender, broker_queue: Queue) -> None:
    await broker_queue.bind("#")
    for key, fields in (("owner.key", {}), ("topic.team_refund", REFUNDED), ("owner.key", {"format": "original"})):
        result = await sender.send(delivery(key, kind="amqp", **fields), NOW)
        assert str(result.error).startswith("the routing key is refused: ")
    assert await broker_queue.is_empty()


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
async def test_legacy_consumers_receive_text(
    sender: AmqpSender, broker_queue: Queue, fields: dict[str, object], body: dict[str, object]
) -> None:
    assert (await sender.send(delivery("own.key", kind="amqp", format="original", secrets=(), **fields), NOW)).error is None
    message = await broker_queue.message()
    assert (message.content_type, message.content_encoding) == ("text/plain", "utf-8")
    assert json.loads(message.body) == body


async def test_an_unroutable_message_fails_until_a_queue_is_bound(sender: AmqpSender, broker_queue: Queue) -> None:
    elsewhere = delivery("nobody.listens", kind="amqp")
    result = await sender.send(elsewhere, NOW)
    assert result.error == "no queue is bound to nobody.listens: the message could not be routed"
    assert not result.is_final
    assert (await sender.send(TO_QUEUE, NOW)).error is None
    await broker_queue.bind("nobody.listens")
    assert (await sender.send(elsewhere, NOW)).error is None


async def test_one_event_to_several_queues_has_a_result_for_each(sender: AmqpSender, broker_queue: Queue) -> None:
    """They share one message_id, by which alone the library matches returned messages."""
    keys = [f"nobody.{number}" if number % 3 else "own.key" for number in range(60)]
    results = await asyncio.gather(*(sender.send(delivery(key, kind="amqp"), NOW) for key in keys))
    assert [result.error is None for result in results] == [key == "own.key" for key in keys]
    assert [(await broker_queue.message()).message_id for _ in range(20)] == ["evt_1"] * 20


async def test_a_missing_exchange_fails_until_it_is_declared(broker_queue: Queue) -> None:
    name = f"{broker_queue.exchange}-later"
    async with aclosing(AmqpSender(BROKER, 5, name)) as sender:
        for _ in range(2):
            result = await sender.send(TO_QUEUE, NOW)
            assert (result.error, result.is_final) == (f"the broker has no exchange {name}", False)
        declared = await broker_queue.channel.declare_exchange(name, "topic", auto_delete=True)
        await broker_queue.queue.bind(declared, "own.key")
        assert (await sender.send(TO_QUEUE, NOW)).error is None


async def test_a_deleted_exchange_fails_until_it_is_declared_again(broker_queue: Queue) -> None:
    name = f"{broker_queue.exchange}-now-and-then"
    async with aclosing(AmqpSender(BROKER, 5, name)) as sender:
        for _ in range(2):
            declared = await broker_queue.channel.declare_exchange(name, "topic")
            await broker_queue.queue.bind(declared, "own.key")
            assert (await sender.send(TO_QUEUE, NOW)).error is None
            await broker_queue.message()
            await broker_queue.channel.exchange_delete(name)
            assert (await sender.send(TO_QUEUE, NOW)).error == f"the broker has no exchange {name}"
        assert await broker_queue.is_empty()


async def test_a_lost_connection_costs_at_most_one_attempt(broker_queue: Queue) -> None:
    async with BrokerLine() as line, aclosing(AmqpSender(line.url, 5, broker_queue.exchange)) as sender:
        assert (await sender.send(TO_QUEUE, NOW)).error is None
        await line.cut()
        results = [await sender.send(TO_QUEUE, NOW) for _ in range(2)]
        assert results[-1].error is None
        await line.close()
        result = await sender.send(TO_QUEUE, NOW)
        assert result.error is not None
        assert result.error.startswith(f"RabbitMQ at {HOST}:")
        await line.open()
        assert (await sender.send(TO_QUEUE, NOW)).error is None


async def test_a_connection_that_was_lost_unused_is_closed_before_the_next_one(broker_queue: Queue) -> None:
    async with (
        collected_without_a_loop(),
        BrokerLine() as line,
        aclosing(AmqpSender(line.url, 5, broker_queue.exchange)) as sender,
    ):
        assert (await sender.send(TO_QUEUE, NOW)).error is None
        await line.cut()

        async def is_noticed() -> bool:
            return sender._connection is not None and not sender._connection.connected.is_set()

        await until(is_noticed, bool)
        assert (await sender.send(TO_QUEUE, NOW)).error is None


async def test_messages_in_flight_when_the_connection_breaks_count_as_failed(broker_queue: Queue) -> None:
    async with BrokerLine() as line, aclosing(AmqpSender(line.url, 5, broker_queue.exchange)) as sender:
        assert (await sender.send(TO_QUEUE, NOW)).error is None
        sent = [asyncio.create_task(sender.send(delivery("own.key", kind="amqp", event_id=f"e{n}"), NOW)) for n in range(200)]
        await asyncio.sleep(0)
        await line.cut()
        results = await asyncio.gather(*sent)
        assert (await sender.send(delivery("own.key", kind="amqp", event_id="last"), NOW)).error is None
    arrived = set()
    while (message := await broker_queue.message()).message_id != "last":
        arrived.add(message.message_id)
    confirmed = {f"e{number}" for number, result in enumerate(results) if result.error is None}
    assert confirmed <= arrived


async def test_an_unreachable_broker_is_an_error_without_the_password() -> None:
    assert (await AmqpSender(None, 5).send(TO_QUEUE, NOW)).is_final
    url = f"amqp://groupbuy:pa55word@{HOST}:{free_port()}/"
    result = await AmqpSender(url, 5).send(TO_QUEUE, NOW)
    assert result.error is not None
    assert not result.is_final
    assert "pa55word" not in result.error


async def test_a_wrong_password_is_not_shown(broker_queue: Queue) -> None:  # noqa: ARG001 - there is a broker
    result = await AmqpSender(BROKER.replace("guest:guest", "guest:pa55word"), 5).send(TO_QUEUE, NOW)
    assert result.error is not None
    assert "pa55word" not in result.error


async def test_a_broker_that_hangs_meets_the_timeout_and_a_limited_number_of_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hung.append(writer)

    hung: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(accept, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        result = await AmqpSender(f"amqp://guest:guest@{HOST}:{port}/", 0.2).send(TO_QUEUE, NOW)
        monkeypatch.setattr(module, "SLOT_TIMEOUT", 0.05)
        slow = AmqpSender(f"amqp://guest:guest@{HOST}:{port}/", 0.5)
        many = await asyncio.gather(*(slow.send(TO_QUEUE, NOW) for _ in range(CONCURRENT_MESSAGES + 50)))
        for writer in hung:
            writer.close()
    assert result.error == f"RabbitMQ at {HOST}:{port}: no answer in time"
    waited = f"RabbitMQ at {HOST}:{port}: it is slow, and too many messages wait for it"
    assert [each.error for each in many].count(waited) == 50
