"""The forward journey, from the quote to the callback."""

import asyncio

import pytest

from embedded.stack import Stack
from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import Shop, fresh


@pytest.mark.parametrize(
    ("price", "plan", "expr", "pay_price"),
    [
        ("100.00", "cut", "20", "80.00"),
        ("100.00", "cut", "0.01", "99.99"),
        ("10.00", "cut", "20", "0.01"),
        ("100.00", "full_cut", "100,20", "80.00"),
        ("99.99", "full_cut", "100,20", "99.99"),
        ("100.00", "rate", "0.8", "80.00"),
        ("0.25", "rate", "0.5", "0.13"),
        ("0.01", "rate", "0.1", "0.01"),
        ("100.00", "fixed", "9.90", "9.90"),
        ("5.00", "fixed", "9.90", "5.00"),
    ],
)
async def test_a_quote_and_the_order_after_it_have_the_price_of_the_plan(
    shop: Shop, price: str, plan: str, expr: str, pay_price: str
) -> None:
    offer = await shop.sell(price, discount={"plan": plan, "expr": expr})
    quote = await offer.quote()
    assert (quote["original_price"], quote["pay_price"]) == (price, pay_price)
    assert (quote["campaign_id"], quote["goods_id"], quote["target_count"]) == (offer.campaign_id, offer.goods_id, 3)
    assert (quote["visible"], quote["joinable"], quote["reasons"]) == (True, True, [])
    order = await offer.seat()
    assert [order[name] for name in ("original_price", "deduction", "pay_price")] == [price, quote["deduction"], pay_price]


async def test_from_the_first_seat_to_the_callback(shop: Shop, receiver: Receiver) -> None:
    offer = await shop.sell()
    opener, *joiners = orders = await offer.seats(3, callback=receiver.callback())
    assert {order["status"] for order in orders} == {"locked"}
    assert {order["team_id"] for order in joiners} == {opener["team_id"]}
    team = await shop.team(opener["team_id"])
    assert (team["status"], team["target_count"], team["lock_count"], team["complete_count"]) == ("forming", 3, 3, 0)
    assert team["workflow"]["id"] == f"team-{team['team_id']}"
    assert team["workflow"]["url"].endswith(team["workflow"]["id"])

    first = (await shop.pay(opener)).ok()
    assert (first["outcome"], first["order"]["status"], first["team"]["status"]) == ("settled", "paid", "forming")
    last = await shop.settle(*joiners)
    assert last["team"]["status"] == "completed"
    assert last["team"]["complete_count"] == 3
    assert last["team"]["completed_at"]
    assert [member["status"] for member in last["team"]["members"]] == ["paid"] * 3

    [callback] = await receiver.of_type("team.completed")
    assert set(callback.body) == {"type", "timestamp", "sequence", "data"}
    assert callback.body["timestamp"] == last["team"]["completed_at"]
    assert callback.body["sequence"] >= 1
    assert callback.data == {
        "team_id": opener["team_id"],
        "campaign_id": offer.campaign_id,
        "completion": "target",
        "out_trade_nos": [order["out_trade_no"] for order in orders],
    }


async def test_the_mall_s_own_address_is_called_where_an_order_names_none(shop: Shop, stack: Stack) -> None:
    offer = await shop.sell(target_count=2)
    orders = await offer.seats(2)
    await shop.settle(*orders)
    demo_mall = shop.mall.elsewhere(stack.addresses.mall_url)

    async def received() -> list[dict[str, object]]:
        return list((await demo_mall.get("/callbacks", team_id=orders[0]["team_id"])).ok()["data"])

    [callback] = await until(received, bool)
    assert (callback["type"], callback["times_received"]) == ("team.completed", 1)


async def test_payments_of_all_members_at_once_complete_the_team_once(shop: Shop, receiver: Receiver) -> None:
    offer = await shop.sell(target_count=10)
    orders = await offer.seats(10, callback=receiver.callback())
    answers = await asyncio.gather(*(shop.pay(order) for order in orders))
    assert {answer.ok()["outcome"] for answer in answers} == {"settled"}
    team = await shop.team(orders[0]["team_id"])
    assert (team["status"], team["complete_count"]) == ("completed", 10)
    [callback] = await receiver.of_type("team.completed")
    assert sorted(callback.data["out_trade_nos"]) == sorted(order["out_trade_no"] for order in orders)


async def test_a_buyer_finds_his_orders(shop: Shop) -> None:
    offer = await shop.sell(take_limit=3)
    user = fresh("user")
    orders = [await offer.seat(user_id=user) for _ in range(3)]
    listed = (await shop.mall.get("/v1/orders", user_id=user)).ok()
    assert listed == {"data": orders[::-1], "next_cursor": None}
    assert await shop.order(orders[0]["out_trade_no"]) == orders[0]
    (await shop.other_mall.get(f"/v1/orders/{orders[0]['out_trade_no']}")).refused("order_not_found", 404)
    (await shop.other_mall.get(f"/v1/teams/{orders[0]['team_id']}")).refused("team_not_found", 404)
    assert (await shop.other_mall.get("/v1/orders", user_id=user)).ok()["data"] == []
