"""Both generations of malls trade unchanged: what the earlier one sends, and what its parser can read."""

import asyncpg
import pytest

from tests.api.legacy.client import NOWHERE, EarlierLocked, Locked, OldMall, earlier_lock_request, lock_request
from tests.api.legacy.conftest import Notified
from tests.api.polling import until
from tests.api.shop import Json, Shop, fresh


async def test_an_earlier_mall_from_its_page_to_the_shipping(shop: Shop, mall: OldMall, notified: Notified) -> None:
    offer = await shop.sell(target_count=2)
    opening = earlier_lock_request(offer, notified.url)
    opened = await mall.lock(opening)
    assert set(opened) == {"orderId", "originalPrice", "deductionPrice", "payPrice", "tradeOrderStatus"}
    # Its buyers find the team on the page.
    [team] = (await mall.config(offer, fresh("user")))["teamList"]
    joining = earlier_lock_request(offer, notified.url, teamId=team["teamId"])
    await mall.lock(joining)
    for second, request in enumerate((opening, joining)):
        settled = await mall.settle(request, outTradeTime=1795514400000 + 1000 * second)
        assert settled["teamId"] == team["teamId"]
    assert await mall.lock(opening) == opened | {"tradeOrderStatus": 1}

    async def bodies() -> list[object]:
        return notified.bodies

    [body, *_] = await until(bodies, bool)
    assert body == {"teamId": team["teamId"], "outTradeNoList": [opening["outTradeNo"], joining["outTradeNo"]]}


MQ = {"notifyType": "MQ", "notifyUrl": None, "notifyMQ": None}
HTTP = {"notifyType": "HTTP", "notifyUrl": NOWHERE, "notifyMQ": None}


@pytest.mark.parametrize(
    ("notify", "fields", "callback"),
    [
        ({"notifyUrl": NOWHERE}, EarlierLocked, ("http", NOWHERE)),
        ({"notifyUrl": NOWHERE, "notifyConfigVO": None}, EarlierLocked, ("http", NOWHERE)),
        ({"notifyConfigVO": HTTP}, Locked, ("http", NOWHERE)),
        ({"notifyConfigVO": MQ, "notifyUrl": None}, Locked, ("amqp", "topic.team_success")),
        ({"notifyConfigVO": MQ, "notifyUrl": NOWHERE}, Locked, ("amqp", "topic.team_success")),
        ({"notifyConfigVO": HTTP, "notifyUrl": "http://elsewhere.example/"}, Locked, ("http", NOWHERE)),
    ],
)
async def test_who_sends_notify_config_vo_is_answered_with_the_team(
    shop: Shop,
    mall: OldMall,
    database: asyncpg.Connection,
    notify: Json,
    fields: type[EarlierLocked],
    callback: tuple[str, str],
) -> None:
    request = lock_request(await shop.sell())
    del request["notifyConfigVO"]
    locked = fields.model_validate(await mall.lock(request | notify))
    columns = "callback_kind, callback_address, callback_format"
    row = await database.fetchrow(f"SELECT {columns} FROM orders WHERE order_id = $1", locked.order_id)  # noqa: S608
    assert row is not None
    assert tuple(row) == (*callback, "original")


@pytest.mark.parametrize(
    "notify",
    [
        {},
        {"notifyUrl": None, "notifyConfigVO": None},
        {"notifyUrl": " "},
        {"notifyUrl": "no url"},
        {"notifyUrl": "http://elsewhere.example/notify"},
        {"notifyUrl": 7},
        {"notifyUrl": NOWHERE, "notifyConfigVO": {}},
    ],
)
async def test_an_address_that_cannot_be_called_is_illegal(shop: Shop, mall: OldMall, notify: Json) -> None:
    request = lock_request(await shop.sell())
    del request["notifyConfigVO"]
    await mall.lock(request | notify, "0002")
    (await shop.mall.get(f"/v1/orders/{request['outTradeNo']}")).refused("order_not_found", 404)
