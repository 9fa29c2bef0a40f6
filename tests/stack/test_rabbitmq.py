"""RabbitMQ on the whole stack: messages of ours, of the original's format, and the demo mall that takes them."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aio_pika import DeliveryMode
from aio_pika.abc import AbstractIncomingMessage
from standardwebhooks import Webhook

from embedded.plan import Options
from embedded.stack import Stack
from mall.queue import EXCHANGE
from tests.api.caller import Caller, http_session
from tests.api.legacy.client import OldMall, lock_request
from tests.api.polling import until
from tests.api.shop import Json, Shop, fresh
from tests.broker import BROKER, Queue, queue

KEY = fresh("orders")


@pytest.fixture
async def behind() -> AsyncIterator[Queue]:
    async with queue(EXCHANGE) as made:
        for key in (KEY, "topic.team_success", "topic.team_refund"):
            await made.bind(key)
        yield made


@pytest.fixture
async def stack(behind: Queue, new_dir: Callable[[], Path]) -> AsyncIterator[Stack]:  # noqa: ARG001 - without a broker, none
    async with Stack(Options(data_dir=new_dir(), amqp_url=BROKER)) as running:
        yield running


async def test_what_a_queue_is_told(stack: Stack, behind: Queue) -> None:
    async with http_session() as http:
        keys = (stack.addresses.mall_key, stack.addresses.ops_key, None)
        shop = Shop(*(Caller(http, stack.addresses.api_url, key) for key in keys))
        await _is_told_in_our_format(shop, stack.addresses.webhook_secret, behind)
        await _is_told_in_the_original_s(shop, behind)
        await _cannot_be_told_where_no_queue_is(shop)
        await _is_taken_by_the_demo_mall(shop, Caller(http, stack.addresses.mall_url, None))
        assert await shop.violations() == []


async def _is_told_in_our_format(shop: Shop, secret: str, behind: Queue) -> None:
    orders = await (await shop.sell()).seats(3, callback={"kind": "amqp", "routing_key": KEY})
    await shop.settle(*orders)

    message = await _message(behind, orders[0]["team_id"])

    [event] = (await shop.mall.get("/v1/events", after=0)).ok()["data"]
    assert (message.routing_key, message.message_id, message.type) == (KEY, event["event_id"], "team.completed")
    assert message.delivery_mode == DeliveryMode.PERSISTENT
    headers = {name: str(value) for name, value in message.headers.items()}
    assert Webhook(secret).verify(message.body, headers) == {name: event[name] for name in event if name != "event_id"}
    assert sorted(event["data"]["out_trade_nos"]) == sorted(order["out_trade_no"] for order in orders)


async def _is_told_in_the_original_s(shop: Shop, behind: Queue) -> None:
    mall, offer = OldMall(shop), await shop.sell(target_count=2)
    opening = lock_request(offer, notifyConfigVO={"notifyType": "MQ"})
    opened = await mall.lock(opening)
    # Who is told of completion at a notifyUrl is told of refunds here.
    joining = lock_request(offer, teamId=opened["teamId"])
    await mall.lock(joining)
    for second, asked in enumerate((opening, joining)):
        await mall.settle(asked, outTradeTime=1795514400000 + 1000 * second)

    completed = await _message(behind, opened["teamId"])
    assert completed.routing_key == "topic.team_success"
    assert json.loads(completed.body) == {
        "teamId": opened["teamId"],
        "outTradeNoList": [opening["outTradeNo"], joining["outTradeNo"]],
    }

    left = await mall.refund(joining)
    refunded = await _message(behind, opened["teamId"])
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
    unlocked = await _message(behind, alone["teamId"])
    assert unlocked.routing_key == "topic.team_refund"
    assert json.loads(unlocked.body)["type"] == "unpaid_unlock"


async def _cannot_be_told_where_no_queue_is(shop: Shop) -> None:
    orders = await (await shop.sell(target_count=2)).seats(2, callback={"kind": "amqp", "routing_key": fresh("nowhere")})
    await shop.settle(*orders)

    async def errors() -> list[str]:
        found = (await shop.ops.get("/v1/ops/callbacks", status="pending", type="team.completed")).ok()["data"]
        return [each["last_error"] for each in found if each["team_id"] == orders[0]["team_id"] and each["attempts"]]

    [error] = await until(errors, bool)
    assert "could not be routed" in error


async def _is_taken_by_the_demo_mall(shop: Shop, mall: Caller) -> None:
    await until(lambda: mall.post("/shop/switches", {"way": "rabbitmq"}), lambda answer: answer.status == 204)
    team: Json = {}
    for buyer in ("ann", "bob", "cem"):
        bought = await mall.post("/shop/orders", {"buyer": buyer, "goods_id": "9890001"} | team)
        number = bought.ok(201)["out_trade_no"]
        team = {"team_id": (await shop.order(number))["team_id"]}
        assert (await mall.post(f"/shop/orders/{number}/payment", {"how": "now"})).status == 204

    async def arrivals() -> Any:  # noqa: ANN401
        return (await mall.get("/shop", buyer="ann", **team)).ok()["arrivals"]

    [arrival] = await until(arrivals, bool)
    assert (arrival["type"], arrival["way"], arrival["answer"]) == ("team.completed", "rabbitmq", "acknowledged")
    todo = (await mall.get("/orders", **team)).ok()["data"]
    assert {order["to_do"] for order in todo} == {"ship"}
    assert len(todo) == 3


async def _message(behind: Queue, team_id: str) -> AbstractIncomingMessage:
    """The next one of this team: others may use the original's routing keys at the same time."""
    while team_id not in (message := await behind.message()).body.decode():
        pass
    return message
