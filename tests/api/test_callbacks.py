"""Callbacks as a mall receives them: signed, repeated until they arrive, once per address."""

import asyncpg
import pytest
from aiohttp import web

from embedded.ports import HOST, free_port
from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import Json, Shop

Deliveries = list[tuple[str, int]]


async def complete(shop: Shop, *callbacks: Json) -> list[Json]:
    """The orders of a completed team whose members have these callbacks."""
    offer = await shop.sell(target_count=len(callbacks))
    opener = await offer.seat(callback=callbacks[0])
    orders = [opener, *[await offer.seat(team_id=opener["team_id"], callback=callback) for callback in callbacks[1:]]]
    await shop.settle(*orders)
    return orders


class Outbox:
    """The deliveries of a team's events as the platform has them: status and attempts, by address."""

    def __init__(self, database: asyncpg.Connection) -> None:
        self._database = database

    async def of(self, team_id: str) -> Deliveries:
        rows = await self._database.fetch(
            "SELECT d.status, d.attempts FROM deliveries d JOIN events e USING (event_id) WHERE e.team_id = $1"
            " ORDER BY d.address",
            team_id,
        )
        return [(row["status"], row["attempts"]) for row in rows]

    async def until(self, team_id: str, expected: Deliveries) -> None:
        async def look() -> Deliveries:
            return await self.of(team_id)

        await until(look, lambda seen: seen == expected)


@pytest.fixture
def outbox(database: asyncpg.Connection) -> Outbox:
    return Outbox(database)


@pytest.mark.parametrize("status", [500, 302, 404])
async def test_what_is_not_taken_comes_again_as_the_same_event(shop: Shop, receiver: Receiver, status: int) -> None:
    headers = {"Location": receiver.callback("/elsewhere")["url"]}
    receiver.answer_first(web.Response(status=status, headers=headers))
    await complete(shop, receiver.callback(), receiver.callback())
    first, second = await receiver.of_type("team.completed", 2)
    assert first.event_id == second.event_id
    assert first.body == second.body
    assert receiver.at("/elsewhere") == []


async def test_what_was_taken_is_delivered_and_does_not_come_again(shop: Shop, receiver: Receiver, outbox: Outbox) -> None:
    orders = await complete(shop, receiver.callback(), receiver.callback())
    await outbox.until(orders[0]["team_id"], [("delivered", 1)])
    later = await complete(shop, receiver.callback(), receiver.callback())
    await outbox.until(later[0]["team_id"], [("delivered", 1)])
    first, second = receiver.received
    assert first.event_id != second.event_id
    assert first.body["sequence"] < second.body["sequence"]


async def test_a_refused_connection_is_tried_again(shop: Shop, receiver: Receiver, outbox: Outbox) -> None:
    await receiver.close()
    orders = await complete(shop, receiver.callback(), receiver.callback())
    await outbox.until(orders[0]["team_id"], [("pending", 1)])
    await receiver.listen()
    await outbox.until(orders[0]["team_id"], [("delivered", 2)])
    assert len(receiver.received) == 1


async def test_410_stops_that_address_alone(shop: Shop, receiver: Receiver, outbox: Outbox) -> None:
    receiver.answer_first(web.Response(status=410), path="/gone")
    receiver.answer_first(web.Response(status=500), path="/later")
    orders = await complete(shop, receiver.callback("/gone"), receiver.callback("/later"))
    await outbox.until(orders[0]["team_id"], [("dead", 1), ("delivered", 2)])
    assert len(receiver.at("/gone")) == 1


async def test_each_distinct_address_hears_of_all_members_once(shop: Shop, receiver: Receiver, outbox: Outbox) -> None:
    one, other = receiver.callback("/one"), receiver.callback("/other")
    orders = await complete(shop, one, other, one)
    await outbox.until(orders[0]["team_id"], [("delivered", 1), ("delivered", 1)])
    [at_one] = receiver.at("/one")
    [at_other] = receiver.at("/other")
    assert at_one.event_id == at_other.event_id
    assert at_one.body == at_other.body
    assert at_one.data["out_trade_nos"] == [order["out_trade_no"] for order in orders]


async def test_an_address_that_is_away_holds_up_no_other(shop: Shop, receiver: Receiver, outbox: Outbox) -> None:
    away = {"kind": "http", "url": f"http://{HOST}:{free_port()}/"}
    orders = await complete(shop, away, receiver.callback())
    await receiver.of_type("team.completed")
    await until(lambda: outbox.of(orders[0]["team_id"]), lambda seen: ("delivered", 1) in seen)


async def test_without_a_broker_that_callback_alone_is_dead(shop: Shop, receiver: Receiver, outbox: Outbox) -> None:
    queue = {"kind": "amqp", "routing_key": "s01.orders"}
    orders = await complete(shop, queue, receiver.callback())
    await outbox.until(orders[0]["team_id"], [("delivered", 1), ("dead", 1)])
    assert (await shop.order(orders[0]["out_trade_no"]))["status"] == "paid"


@pytest.mark.parametrize(
    "url",
    ["http://example.com/x", "http://127.0.0.2/", "http://localhost.example.com/", "http://127.0.0.1@example.com/"],
)
async def test_a_host_that_the_mall_has_not_registered_is_refused(shop: Shop, url: str) -> None:
    offer = await shop.sell()
    (await offer.lock(callback={"kind": "http", "url": url})).refused("invalid_request", 422)


@pytest.mark.parametrize("key", ["s011.orders", "topic.team_refund"])
async def test_a_routing_key_that_is_not_the_mall_s_is_refused(shop: Shop, key: str) -> None:
    callback = {"kind": "amqp", "routing_key": key}
    (await (await shop.sell()).lock(callback=callback)).refused("invalid_request", 422)
    sample = {"type": "team.failed", "callback": callback}
    (await shop.mall.post("/v1/events/test", sample)).refused("invalid_request", 422)
