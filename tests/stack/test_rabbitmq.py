"""RabbitMQ on the whole stack: callbacks in the standard and the legacy format, and the demo mall that receives them."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aio_pika import DeliveryMode
from aio_pika.abc import AbstractIncomingMessage
from standardwebhooks import Webhook

from embedded.demo_data import SOURCE
from embedded.plan import Options
from embedded.stack import Stack
from mall.amqp_receiver import EXCHANGE
from tests.api.caller import Caller, http_session
from tests.api.legacy.client import OldMall, lock_request
from tests.api.polling import until
from tests.api.shop import Json, Shop, fresh
from tests.broker import BROKER, Queue, queue

KEY = f"{SOURCE}.{fresh('orders')}"


@pytest.fixture
async def broker_queue() -> AsyncIterator[Queue]:
    async with queue(EXCHANGE) as made:
        for key in (KEY, "topic.team_success", "topic.team_refund"):
            await made.bind(key)
        yield made


@pytest.fixture
async def stack(broker_queue: Queue, new_dir: Callable[[], Path]) -> AsyncIterator[Stack]:  # noqa: ARG001 - skips without a broker
    async with Stack(Options(data_dir=new_dir(), amqp_url=BROKER)) as running:
        yield running


async def test_callbacks_over_rabbitmq(stack: Stack, broker_queue: Queue) -> None:
    async with http_session() as http:
        keys = (stack.addresses.mall_key, stack.addresses.ops_key, None)
        shop = Shop(*(Caller(http, stack.addresses.api_url, key) for key in keys))
        await _standard_format(shop, stack.addresses.webhook_secret, broker_queue)
        await _legacy_format(shop, OldMall(Caller(http, stack.addresses.legacy_url, None)), broker_queue)
        await _unroutable_message_is_an_error(shop)
        await _demo_mall_receives(shop, Caller(http, stack.addresses.mall_url, None))
        assert await shop.violations() == []


async def _standard_format(shop: Shop, secret: str, broker_queue: Queue) -> None:
    orders = await (await shop.sell()).seats(3, callback={"kind": "amqp", "routing_key": KEY})
    await shop.settle(*orders)

    message = await _message(broker_queue, orders[0]["team_id"])

    [event] = (await shop.mall.get("/v1/events", after=0)).ok()["data"]
    assert (message.routing_key, message.message_id, message.type) == (KEY, event["event_id"], "team.completed")
    assert message.delivery_mode == DeliveryMode.PERSISTENT
    headers = {name: str(value) for name, value in message.headers.items()}
    told = {name: event[name] for name in event if name != "event_id"}
    assert Webhook(secret).verify(message.body, headers) == {**told, "source": SOURCE}
    assert sorted(event["data"]["out_trade_nos"]) == sorted(order["out_trade_no"] for order in orders)


async def _legacy_format(shop: Shop, mall: OldMall, broker_queue: Queue) -> None:
    offer = await shop.sell(target_count=2)
    opening = lock_request(offer, notifyConfigVO={"notifyType": "MQ", "notifyUrl": None, "notifyMQ": None})
    opened = await mall.lock(opening)
    # A mall with a notifyUrl for completion receives refunds over RabbitMQ.
    joining = lock_request(offer, teamId=opened["teamId"])
    await mall.lock(joining)
    for second, request in enumerate((opening, joining)):
        await mall.settle(request, outTradeTime=1795514400000 + 1000 * second)

    completed = await _message(broker_queue, opened["teamId"])
    assert completed.routing_key == "topic.team_success"
    assert json.loads(completed.body) == {
        "teamId": opened["teamId"],
        "outTradeNoList": [opening["outTradeNo"], joining["outTradeNo"]],
    }

    left = await mall.refund(joining)
    refunded = await _message(broker_queue, opened["teamId"])
    assert (refunded.routing_key, refunded.delivery_mode) == ("topic.team_refund", DeliveryMode.PERSISTENT)
    assert json.loads(refunded.body) == {
        "type": "paid_formed",
        "userId": joining["userId"],
        "teamId": opened["teamId"],
        "orderId": left["orderId"],
        "outTradeNo": joining["outTradeNo"],
        "activityId": offer.campaign_id,
    }
    await shop.until_refund({"out_trade_no": joining["outTradeNo"]}, "done")

    unpaid = lock_request(offer, notifyConfigVO={"notifyType": "MQ"})
    alone = await mall.lock(unpaid)
    await mall.refund(unpaid)
    unlocked = await _message(broker_queue, alone["teamId"])
    assert unlocked.routing_key == "topic.team_refund"
    assert json.loads(unlocked.body)["type"] == "unpaid_unlock"


async def _unroutable_message_is_an_error(shop: Shop) -> None:
    orders = await (await shop.sell(target_count=2)).seats(
        2, callback={"kind": "amqp", "routing_key": f"{SOURCE}.{fresh('nowhere')}"}
    )
    await shop.settle(*orders)

    async def errors() -> list[str]:
        found = (await shop.ops.get("/v1/ops/callbacks", status="pending", type="team.completed")).ok()["data"]
        return [each["last_error"] for each in found if each["team_id"] == orders[0]["team_id"] and each["attempts"]]

    [error] = await until(errors, bool)
    assert "could not be routed" in error


async def _demo_mall_receives(shop: Shop, mall: Caller) -> None:
    await until(lambda: mall.post("/shop/switches", {"way": "rabbitmq"}), lambda answer: answer.status == 204)
    team: Json = {}
    for buyer in ("ann", "bob", "cem"):
        bought = await mall.post("/shop/orders", {"buyer": buyer, "goods_id": "9890001"} | team)
        number = bought.ok(201)["out_trade_no"]
        team = {"team_id": (await shop.order(number))["team_id"]}
        assert (await mall.post(f"/shop/orders/{number}/payment", {"how": "now"})).status == 204

    async def attempts() -> Any:  # noqa: ANN401
        return (await mall.get("/shop", buyer="ann", **team)).ok()["arrivals"]

    [attempt] = await until(attempts, bool)
    assert (attempt["type"], attempt["way"], attempt["answer"]) == ("team.completed", "rabbitmq", "acknowledged")
    todo = (await mall.get("/orders", **team)).ok()["data"]
    assert {order["to_do"] for order in todo} == {"ship"}
    assert len(todo) == 3


async def _message(broker_queue: Queue, team_id: str) -> AbstractIncomingMessage:
    """Returns the next message of this team, because other tests may use the legacy routing keys at the same time."""
    while team_id not in (message := await broker_queue.message()).body.decode():
        pass
    return message
