"""The original's wire format: a mall that was written for the original trades by it."""

import re
from datetime import datetime

import asyncpg
import pytest

from embedded.demo_data import CHANNEL, SOURCE
from tests.api.legacy.client import CONFIG, LOCK, NOWHERE, OldMall, lock_request
from tests.api.shop import Json, Shop, fresh


async def test_a_team_from_the_first_seat_to_the_last_payment(shop: Shop, mall: OldMall) -> None:
    offer = await shop.sell(target_count=2)
    opening = lock_request(offer)

    opened = await mall.lock(opening)

    assert opened == {
        "orderId": opened["orderId"],
        "originalPrice": 100.0,
        "deductionPrice": 20.0,
        "payPrice": 80.0,
        "tradeOrderStatus": 0,
        "teamId": opened["teamId"],
    }
    order = await shop.order(opening["outTradeNo"])
    assert (order["order_id"], order["team_id"]) == (opened["orderId"], opened["teamId"])

    joining = lock_request(offer, teamId=opened["teamId"])
    assert (await mall.lock(joining))["teamId"] == opened["teamId"]
    for asked in (opening, joining):
        settled = {
            "userId": asked["userId"],
            "teamId": opened["teamId"],
            "activityId": offer.campaign_id,
            "outTradeNo": asked["outTradeNo"],
        }
        assert await mall.settle(asked) == settled
        assert await mall.settle(asked) == settled, "a repeat gets the first answer"
    assert (await shop.team(opened["teamId"]))["status"] == "completed"
    assert (await mall.lock(opening))["tradeOrderStatus"] == 1, "a paid number is answered with its state"


async def test_amounts_are_numbers_with_their_cents(shop: Shop, mall: OldMall) -> None:
    offer = await shop.sell("99.90", discount={"plan": "rate", "expr": "0.5"})
    answer = await mall.call("POST", LOCK, json=lock_request(offer), headers={"Accept": "text/plain"})
    assert (answer.body["data"]["payPrice"], answer.body["data"]["deductionPrice"]) == (49.95, 49.95)
    async with mall._caller._http.post(mall._caller.base_url + LOCK, json=lock_request(offer)) as response:
        text = await response.text()
    assert '"originalPrice":99.90,"deductionPrice":49.95,"payPrice":49.95,"tradeOrderStatus":0,' in text


@pytest.mark.parametrize("when", [1733537980000, "1733537980000", "2024-12-07T10:19:40.000+08:00", "2024-12-07T02:19:40Z"])
async def test_a_date_is_iso_8601_or_milliseconds(shop: Shop, mall: OldMall, when: str | int) -> None:
    asked = lock_request(await shop.sell())
    await mall.lock(asked)
    await mall.settle(asked, outTradeTime=when)
    paid_at = datetime.fromisoformat((await shop.order(asked["outTradeNo"]))["paid_at"])
    assert paid_at == datetime.fromisoformat("2024-12-07T02:19:40+00:00")


@pytest.mark.parametrize(
    ("notify", "kind", "address"),
    [
        ({"notifyType": "HTTP", "notifyUrl": NOWHERE}, "http", NOWHERE),
        ({"notifyType": "MQ"}, "amqp", "topic.team_success"),
        ({"notifyType": "MQ", "notifyUrl": "", "notifyMQ": "topic.of_mine"}, "amqp", "topic.of_mine"),
    ],
)
async def test_each_order_keeps_how_its_mall_is_told(
    shop: Shop, mall: OldMall, database: asyncpg.Connection, notify: Json, kind: str, address: str
) -> None:
    asked = lock_request(await shop.sell(), notifyConfigVO=notify)
    order_id = (await mall.lock(asked))["orderId"]
    columns = "callback_kind, callback_address, callback_format"
    row = await database.fetchrow(f"SELECT {columns} FROM orders WHERE order_id = $1", order_id)  # noqa: S608
    assert row is not None
    assert tuple(row) == (kind, address, "original")


async def test_an_unpaid_seat_is_given_up_once(shop: Shop, mall: OldMall) -> None:
    asked = lock_request(await shop.sell())
    locked = await mall.lock(asked)
    first = await mall.refund(asked)
    assert first == {
        "userId": asked["userId"],
        "orderId": locked["orderId"],
        "teamId": locked["teamId"],
        "code": "success",
        "info": first["info"],
    }
    assert (await mall.refund(asked))["code"] == "repeat"
    assert (await mall.lock(asked))["tradeOrderStatus"] == 2, "never a new seat for an old number"


async def test_a_member_of_a_completed_team_leaves_and_the_mall_is_told_not_asked(shop: Shop, mall: OldMall) -> None:
    offer = await shop.sell(target_count=2)
    opening = lock_request(offer)
    opened = await mall.lock(opening)
    joining = lock_request(offer, teamId=opened["teamId"])
    await mall.lock(joining)
    for asked in (opening, joining):
        await mall.settle(asked)

    assert (await mall.refund(joining))["code"] == "success"

    team = await shop.team(opened["teamId"])
    assert (team["status"], team["complete_count"]) == ("completed_with_refunds", 1)
    refund = (await shop.mall.get(f"/v1/orders/{joining['outTradeNo']}/refund")).ok()
    assert refund["kind"] == "paid_formed"
    assert (await mall.refund(joining))["code"] == "repeat"


async def test_after_its_window_a_refund_fails(shop: Shop, mall: OldMall) -> None:
    offer = await shop.sell(target_count=2, refund_window=0)
    opening = lock_request(offer)
    joining = lock_request(offer, teamId=(await mall.lock(opening))["teamId"])
    await mall.lock(joining)
    for asked in (opening, joining):
        await mall.settle(asked)
    assert (await mall.refund(joining))["code"] == "fail"


async def test_the_market_has_the_originals_fields(shop: Shop, mall: OldMall) -> None:
    offer = await shop.sell()
    stranger = await offer.seat(user_id="stranger-7")
    asked = lock_request(offer)
    own = await mall.lock(asked)

    found = await mall.config(offer, asked["userId"])

    assert set(found) == {"activityId", "goods", "teamList", "teamStatistic"}
    assert found["activityId"] == offer.campaign_id
    assert found["goods"] == {
        "goodsId": offer.goods_id,
        "originalPrice": 100.0,
        "deductionPrice": 20.0,
        "payPrice": 80.0,
    }
    assert found["teamStatistic"] == {"allTeamCount": 2, "allTeamCompleteCount": 0, "allTeamUserCount": 2}
    mine, other = found["teamList"]
    team = await shop.team(own["teamId"])
    assert mine == {
        "userId": asked["userId"],
        "teamId": own["teamId"],
        "activityId": offer.campaign_id,
        "targetCount": 3,
        "completeCount": 0,
        "lockCount": 1,
        "validStartTime": mine["validStartTime"],
        "validEndTime": mine["validEndTime"],
        "validTimeCountdown": mine["validTimeCountdown"],
        "outTradeNo": asked["outTradeNo"],
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", mine["validEndTime"])
    ends = datetime.fromisoformat(team["deadline"])
    assert abs((datetime.fromisoformat(mine["validEndTime"]) - ends).total_seconds()) < 0.001
    assert re.fullmatch(r"2[34]:\d\d:\d\d", mine["validTimeCountdown"])
    assert (other["userId"], other["teamId"], other["outTradeNo"]) == ("s***7", stranger["team_id"], None)


async def test_what_bars_a_buyer_from_another_seat_does_not_hide_the_market(shop: Shop, mall: OldMall) -> None:
    offer = await shop.sell(take_limit=1)
    asked = lock_request(offer)
    await mall.lock(asked)
    assert len((await mall.config(offer, asked["userId"]))["teamList"]) == 1


async def test_fields_that_the_original_does_not_know_are_ignored(shop: Shop, mall: OldMall) -> None:
    offer = await shop.sell()
    await mall.lock(lock_request(offer, userName="of a later mall"))
    body = {"userId": fresh("user"), "source": SOURCE, "channel": CHANNEL, "goodsId": offer.goods_id, "page": 1}
    assert (await mall.post(CONFIG, body)).body["code"] == "0000"
