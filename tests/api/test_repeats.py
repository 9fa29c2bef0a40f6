"""Any request repeated, in parallel or later, gives the first answer."""

import asyncio
from collections import Counter

import pytest

from tests.api.shop import OTHER_SOURCE, Shop, fresh


async def test_fifty_identical_openings_make_one_order_and_one_team(shop: Shop) -> None:
    offer = await shop.sell()
    request = offer.request()
    answers = await asyncio.gather(*(shop.mall.post("/v1/orders", request) for _ in range(50)))
    assert {answer.status for answer in answers} <= {200, 201}
    assert len({answer.body["order_id"] for answer in answers}) == 1
    listed = (await shop.ops.get("/v1/ops/orders", campaign_id=offer.campaign_id)).ok()["data"]
    assert [order["out_trade_no"] for order in listed] == [request["out_trade_no"]]
    teams = (await shop.ops.get("/v1/ops/teams", campaign_id=offer.campaign_id)).ok()["data"]
    assert [(team["team_id"], team["lock_count"]) for team in teams] == [(listed[0]["team_id"], 1)]


async def test_fifty_identical_joins_make_one_order(shop: Shop) -> None:
    offer = await shop.sell(target_count=10)
    opener = await offer.seat()
    request = offer.request(team_id=opener["team_id"])
    answers = await asyncio.gather(*(shop.mall.post("/v1/orders", request) for _ in range(50)))
    assert {answer.status for answer in answers} <= {200, 201}
    assert len({answer.body["order_id"] for answer in answers}) == 1
    assert (await shop.team(opener["team_id"]))["lock_count"] == 2


async def test_of_identical_requests_at_once_one_is_the_first(shop: Shop) -> None:
    offer = await shop.sell(target_count=10)
    opener = await offer.seat()
    for request in (offer.request(), offer.request(team_id=opener["team_id"])):
        answers = await asyncio.gather(*(shop.mall.post("/v1/orders", request) for _ in range(10)))
        assert Counter(answer.status for answer in answers) == {201: 1, 200: 9}
        assert all(answer.replayed for answer in answers if answer.status == 200)


async def test_a_later_repeat_shows_the_order_as_it_is_now(shop: Shop) -> None:
    offer = await shop.sell(target_count=2)
    request = offer.request()
    first = await shop.mall.post("/v1/orders", request)
    order = first.ok(201)
    assert "Idempotent-Replayed" not in first.headers
    again = await shop.mall.post("/v1/orders", request)
    assert again.replayed
    assert again.body == order
    joiner = await offer.seat(team_id=order["team_id"])
    await shop.settle(order, joiner)
    again = await shop.mall.post("/v1/orders", request)
    assert again.replayed
    assert again.body["status"] == "paid"
    assert again.body["order_id"] == order["order_id"]


async def test_the_first_answer_is_the_order_s_row(shop: Shop) -> None:
    offer = await shop.sell(target_count=2)
    for order in await offer.seats(2):
        assert await shop.order(order["out_trade_no"]) == order


async def test_the_opener_s_repeat_never_opens_a_second_team(shop: Shop) -> None:
    """Not after the campaign changed, nor when its team is complete."""
    offer = await shop.sell(target_count=2, take_limit=1)
    request = offer.request()
    order = (await shop.mall.post("/v1/orders", request)).ok(201)
    await offer.change(status="paused", target_count=5)
    assert (await shop.mall.post("/v1/orders", request)).replayed
    await offer.change(status="active")
    await shop.settle(order, await offer.seat(team_id=order["team_id"]))
    assert (await shop.mall.post("/v1/orders", request)).replayed
    teams = (await shop.ops.get("/v1/ops/teams", campaign_id=offer.campaign_id)).ok()["data"]
    assert len(teams) == 1


async def test_a_repeat_after_the_seat_was_given_up_shows_that(shop: Shop) -> None:
    offer = await shop.sell(lock_ttl=1, payment_grace=0)
    request = offer.request()
    order = (await shop.mall.post("/v1/orders", request)).ok(201)
    await shop.until_order(order, "cancelled")
    again = await shop.mall.post("/v1/orders", request)
    assert again.replayed
    assert again.body["cancel_reason"] == "lock_timeout"


@pytest.mark.parametrize("field", ["user_id", "goods_id", "channel", "team_id"])
@pytest.mark.parametrize("joins", [False, True], ids=["opener", "joiner"])
async def test_the_same_number_for_something_else_is_refused(shop: Shop, field: str, *, joins: bool) -> None:
    offer = await shop.sell()
    opener = await offer.seat()
    request = offer.request(team_id=opener["team_id"]) if joins else offer.request()
    order = (await shop.mall.post("/v1/orders", request)).ok(201)
    other = {**request, field: opener["team_id"] if field == "team_id" and not joins else fresh(field.split("_")[0])}
    (await shop.mall.post("/v1/orders", other)).refused("out_trade_no_reused", 422)
    assert await shop.order(order["out_trade_no"]) == order


async def test_a_joiner_s_number_without_its_team_is_something_else(shop: Shop) -> None:
    offer = await shop.sell()
    opener = await offer.seat()
    request = offer.request(team_id=opener["team_id"])
    (await shop.mall.post("/v1/orders", request)).ok(201)
    del request["team_id"]
    (await shop.mall.post("/v1/orders", request)).refused("out_trade_no_reused", 422)


async def test_two_buyers_who_use_one_number_at_once_make_one_order(shop: Shop) -> None:
    offer = await shop.sell()
    number = fresh("trade")
    one, other = offer.request(out_trade_no=number), offer.request(out_trade_no=number)
    answers = await asyncio.gather(*(shop.mall.post("/v1/orders", request) for request in [one, other] * 5))
    assert {answer.code for answer in answers} == {None, "out_trade_no_reused"}
    winner = (await shop.order(number))["user_id"]
    for request, answer in zip([one, other] * 5, answers, strict=True):
        assert (answer.code is None) == (request["user_id"] == winner)


async def test_one_number_in_two_malls_stands_for_two_orders(shop: Shop) -> None:
    offer = await shop.sell(also_sold_by=[OTHER_SOURCE])
    order = await offer.seat()
    theirs = (await shop.other_mall.post("/v1/orders", offer.request(out_trade_no=order["out_trade_no"]))).ok(201)
    assert theirs["order_id"] != order["order_id"]
    assert theirs["team_id"] != order["team_id"]


async def test_a_refused_number_may_be_tried_again(shop: Shop) -> None:
    offer = await shop.sell(status="paused")
    opening = offer.request()
    (await shop.mall.post("/v1/orders", opening)).refused("campaign_inactive", 409)
    await offer.change(status="active")
    order = (await shop.mall.post("/v1/orders", opening)).ok(201)
    joining = offer.request(team_id=order["team_id"])
    await offer.change(status="paused")
    (await shop.mall.post("/v1/orders", joining)).refused("campaign_inactive", 409)
    await offer.change(status="active")
    (await shop.mall.post("/v1/orders", joining)).ok(201)


async def test_a_number_refused_within_the_team_s_workflow_may_be_tried_again(shop: Shop) -> None:
    """The last item is asked for by many at once: those who lose have had a workflow, and can open their team later."""
    offer = await shop.sell(stock=1, lock_ttl=1, payment_grace=0)
    requests = [offer.request() for _ in range(8)]
    answers = await asyncio.gather(*(shop.mall.post("/v1/orders", request) for request in requests))
    assert Counter(answer.code for answer in answers) == {None: 1, "stock_exhausted": 7}
    [won] = [answer.body for answer in answers if answer.code is None]
    await shop.until_order(won, "cancelled")
    lost = next(request for request, answer in zip(requests, answers, strict=True) if answer.code)
    (await shop.mall.post("/v1/orders", lost)).ok(201)


async def test_twenty_identical_payments_are_booked_once(shop: Shop) -> None:
    offer = await shop.sell(target_count=2)
    order, _ = await offer.seats(2)
    answers = await asyncio.gather(*(shop.pay(order) for _ in range(20)))
    assert {answer.ok()["outcome"] for answer in answers} == {"settled"}
    assert (await shop.team(order["team_id"]))["complete_count"] == 1
    again = await shop.pay(order)
    assert again.replayed
    assert again.body["outcome"] == "settled"
