"""The original's wire format: every code, and every field that can be wrong."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from embedded.demo_data import CHANNEL, SOURCE
from tests.api.legacy.client import (
    CONFIG,
    LOCK,
    NOWHERE,
    REFUND,
    SETTLE,
    UPDATE_CONFIG,
    OldMall,
    enveloped,
    lock_request,
)
from tests.api.shop import Json, Shop, fresh, moment


@pytest.fixture
async def switches(mall: OldMall, database: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """What a test has set is unset at its end."""
    yield database
    for key, value in (("downgradeSwitch", "0"), ("cutRange", "100"), ("scBlacklist", "")):
        await mall.update_config(key, value)


ORDER: Json = {"source": SOURCE, "channel": CHANNEL, "userId": "user-1", "outTradeNo": "909000098111"}
BODIES: dict[str, Json] = {
    CONFIG: {"userId": "user-1", "source": SOURCE, "channel": CHANNEL, "goodsId": "9890001"},
    LOCK: {
        **ORDER,
        "activityId": 100123,
        "goodsId": "9890001",
        "notifyConfigVO": {"notifyType": "HTTP", "notifyUrl": NOWHERE},
    },
    SETTLE: ORDER | {"outTradeTime": "2026-05-01T12:00:00Z"},
    REFUND: ORDER,
}
WRONG: list[Any] = ["", "  ", None, 7, 1.5, True, [], {}, "with space", "x" * 65, "\x00"]
FIELDS = [(path, name) for path, body in BODIES.items() for name in body]


@pytest.mark.parametrize(("path", "name"), FIELDS, ids=lambda part: str(part).rpartition("/")[2])
async def test_a_field_that_is_missing_null_or_mistyped_is_illegal(mall: OldMall, path: str, name: str) -> None:
    body = BODIES[path]
    wrong = [{key: value for key, value in body.items() if key != name}]
    numbers = {"activityId", "outTradeTime"}
    if name == "outTradeTime":
        wrong += [body | {name: moment} for moment in (-62135596800000, 253402300800000, "0001-01-01T00:00:00")]
    wrong += [body | {name: value} for value in WRONG if not (name in numbers and type(value) is int)]
    for each in wrong:
        assert enveloped(await mall.post(path, each), "0002") is None, each


@pytest.mark.parametrize(
    "notify",
    [
        {},
        {"notifyType": "HTTP"},
        {"notifyType": "HTTP", "notifyUrl": None},
        {"notifyType": "HTTP", "notifyUrl": " "},
        {"notifyType": "HTTP", "notifyUrl": "no url"},
        {"notifyType": "HTTP", "notifyUrl": "http://elsewhere.example/notify"},
        {"notifyType": "SMS", "notifyUrl": NOWHERE},
        {"notifyType": "MQ", "notifyMQ": "no routing key"},
        {"notifyType": "MQ", "notifyMQ": "of.another.mall"},
    ],
)
async def test_an_address_that_cannot_be_called_is_illegal(shop: Shop, mall: OldMall, notify: Json) -> None:
    asked = lock_request(await shop.sell(), notifyConfigVO=notify)
    await mall.lock(asked, "0002")
    (await shop.mall.get(f"/v1/orders/{asked['outTradeNo']}")).refused("order_not_found", 404)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b'"text"', b"\xff\xfe"])
async def test_a_body_that_is_no_object_is_illegal(mall: OldMall, path: str, body: bytes) -> None:
    enveloped(await mall.call("POST", path, data=body, headers={"Content-Type": "application/json"}), "0002")


async def test_what_is_not_sold_has_no_campaign(shop: Shop, mall: OldMall) -> None:
    offer, other = await shop.sell(), await shop.sell()
    changes: list[Json] = [
        {"goodsId": fresh("goods")},
        {"channel": "c99"},
        {"source": "s99"},
        {"activityId": other.campaign_id},
        {"activityId": 2**40},
        {"activityId": 0},
    ]
    for change in changes:
        await mall.lock(lock_request(offer, **change), "E0002")
        if "activityId" not in change:
            asked = {"userId": "u", "source": SOURCE, "channel": CHANNEL, "goodsId": offer.goods_id} | change
            enveloped(await mall.post(CONFIG, asked), "E0002")


async def test_teams_that_take_nobody(shop: Shop, mall: OldMall) -> None:
    offer = await shop.sell(target_count=2, take_limit=5)
    opening = lock_request(offer)
    team = (await mall.lock(opening))["teamId"]
    await mall.lock(lock_request(offer, teamId=fresh("team")), "E0005")
    await mall.lock(lock_request(await shop.sell(), teamId=team), "E0005")
    await mall.lock(lock_request(offer, teamId=team, userId=opening["userId"]), "E0006")
    await mall.lock(lock_request(offer, teamId=team))
    await mall.lock(lock_request(offer, teamId=team), "E0006")
    (await shop.ops.post(f"/v1/ops/teams/{team}/close", {})).ok()
    await shop.until_team(team, "failed")
    await mall.lock(lock_request(offer, teamId=team), "E0006")


async def test_limits(shop: Shop, mall: OldMall) -> None:
    offer = await shop.sell(take_limit=1, stock=1)
    asked = lock_request(offer)
    await mall.lock(asked)
    await mall.lock(lock_request(offer, userId=asked["userId"]), "E0103")
    await mall.lock(lock_request(offer), "E0008")


async def test_a_number_that_stands_for_something_else(shop: Shop, mall: OldMall) -> None:
    offer = await shop.sell()
    asked = lock_request(offer)
    await mall.lock(asked)
    await mall.lock(asked | {"userId": fresh("user")}, "0003")


async def test_campaigns_that_are_not_for_everybody_or_not_now(shop: Shop, mall: OldMall) -> None:
    offer = await shop.sell()
    nobody = fresh("audience")
    (await shop.ops.put(f"/v1/ops/audiences/{nobody}", {"name": "Nobody"})).ok()
    await offer.change(audience=nobody, audience_scope=["join"])
    await mall.lock(lock_request(offer), "E0007")
    await mall.config(offer, "u")
    await offer.change(audience_scope=["visible"])
    await mall.lock(lock_request(offer), "E0007")
    await mall.config(offer, "u", "E0007")
    await offer.change(audience=None, audience_scope=[], status="paused")
    await mall.lock(lock_request(offer), "E0101")
    await mall.config(offer, "u", "E0101")
    early = await shop.sell(starts_at=moment(timedelta(hours=1)))
    await mall.lock(lock_request(early), "E0102")
    assert (await mall.config(early, "u"))["goods"]["payPrice"] == 80.0


async def test_an_order_is_found_by_all_that_names_it(shop: Shop, mall: OldMall) -> None:
    asked = lock_request(await shop.sell())
    await mall.lock(asked)
    for change in ({"outTradeNo": fresh("t")}, {"userId": fresh("user")}, {"channel": "c99"}, {"source": "s02"}):
        await mall.settle(asked | change, "E0104")
        await mall.refund(asked | change, "E0104")
    await mall.settle(asked)


async def test_a_payment_for_an_order_that_was_cancelled_goes_back(shop: Shop, mall: OldMall) -> None:
    asked = lock_request(await shop.sell())
    await mall.lock(asked)
    await mall.refund(asked)
    for _ in range(2):
        await mall.settle(asked, "E0104")
    refund = (await shop.mall.get(f"/v1/orders/{asked['outTradeNo']}/refund")).ok()
    assert (refund["kind"], refund["amount"]) == ("unsettled", "80.00")


async def test_a_payment_that_comes_too_late_goes_back(shop: Shop, mall: OldMall) -> None:
    asked = lock_request(await shop.sell(lock_ttl=1, payment_grace=0))
    await mall.lock(asked)
    await shop.until_order({"out_trade_no": asked["outTradeNo"]}, "cancelled")
    await mall.settle(asked, "E0106")
    refund = (await shop.mall.get(f"/v1/orders/{asked['outTradeNo']}/refund")).ok()
    assert (refund["kind"], refund["reason"]) == ("unsettled", "late_payment")


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [("downgradeSwitch", "1", "E0003"), ("cutRange", "0", "E0004"), ("scBlacklist", "s02c02, s01c01", "E0105")],
)
@pytest.mark.usefixtures("switches")
async def test_dynamic_configuration_is_our_switches(shop: Shop, mall: OldMall, key: str, value: str, code: str) -> None:
    offer = await shop.sell()
    locked = lock_request(offer)
    team = (await mall.lock(locked))["teamId"]
    assert await mall.update_config(key, value) is True
    await mall.lock(lock_request(offer), code)
    await mall.lock(lock_request(offer, teamId=team), code)
    await mall.config(offer, "u", code)
    await mall.settle(locked, "E0105" if key == "scBlacklist" else "0000")
    off = {"downgradeSwitch": "0", "cutRange": "100", "scBlacklist": ""}
    assert await mall.update_config(key, off[key]) is True
    await mall.lock(lock_request(offer))


async def test_who_set_a_switch_is_kept(mall: OldMall, switches: asyncpg.Connection) -> None:
    await mall.update_config("scBlacklist", "s02c02,s01c07")
    row = await switches.fetchrow("SELECT changed_by, value::text FROM switches WHERE name = 'blocked'")
    assert row is not None
    assert row["changed_by"] == "original dcc"
    assert row["value"] == '[{"source": "s02", "channel": "c02"}, {"source": "s01", "channel": "c07"}]'
    change = await switches.fetchrow("SELECT changed_by, via, address, subject FROM changes ORDER BY change_no DESC LIMIT 1")
    assert change is not None
    assert tuple(change) == ("original dcc", "api", "127.0.0.1", "switch/blocked")


async def test_configuration_that_has_no_effect_here_is_accepted(mall: OldMall, switches: asyncpg.Connection) -> None:
    changes = "SELECT count(*) FROM changes"
    before = await switches.fetchval(changes)
    for key, value in (("cacheSwitch", "1"), ("rateLimiterSwitch", "close")):
        assert await mall.update_config(key, value) is True
    assert await switches.fetchval(changes) == before


@pytest.mark.parametrize(
    ("key", "value"),
    [("downgradeSwitch", "2"), ("cutRange", "101"), ("cutRange", "-1"), ("cutRange", "many"), ("scBlacklist", "?"), ("x", "1")],
)
async def test_configuration_that_cannot_be_is_illegal(mall: OldMall, key: str, value: str) -> None:
    assert await mall.update_config(key, value, "0002") is None
    enveloped(await mall.call("GET", UPDATE_CONFIG), "0002")
