"""What the rules refuse, and when they stop refusing it."""

from datetime import timedelta

import pytest

from embedded.demo_data import CHANNEL
from tests.api.shop import OTHER_SOURCE, Json, Shop, fresh, moment, moment_of


async def test_the_take_limit_counts_live_orders(shop: Shop) -> None:
    offer = await shop.sell(take_limit=1, lock_ttl=1, payment_grace=0)
    user = fresh("user")
    order = await offer.seat(user_id=user)
    quote = await offer.quote(user_id=user)
    assert (quote["joinable"], quote["reasons"]) == (False, ["take_limit_reached"])
    (await offer.lock(user_id=user)).refused("take_limit_reached", 409)
    team_id = (await offer.seat())["team_id"]
    (await offer.lock(user_id=user, team_id=team_id)).refused("take_limit_reached", 409)
    await shop.until_order(order, "cancelled")
    await offer.seat(user_id=user)


async def test_the_take_limit_of_a_mall_s_user_is_not_that_of_another_mall_s(shop: Shop) -> None:
    offer = await shop.sell(take_limit=1, also_sold_by=[OTHER_SOURCE])
    user = fresh("user")
    await offer.seat(user_id=user)
    (await shop.other_mall.post("/v1/orders", offer.request(user_id=user))).ok(201)


async def test_a_lower_take_limit_binds_new_locks_alone(shop: Shop) -> None:
    offer = await shop.sell(take_limit=3)
    user = fresh("user")
    orders = [await offer.seat(user_id=user) for _ in range(2)]
    await offer.change(take_limit=1)
    (await offer.lock(user_id=user)).refused("take_limit_reached", 409)
    await shop.settle(orders[0])
    await offer.change(take_limit=3)
    await offer.seat(user_id=user)


async def test_the_stock_counts_live_orders(shop: Shop) -> None:
    offer = await shop.sell(stock=1, lock_ttl=1, payment_grace=0)
    order = await offer.seat()
    (await offer.lock()).refused("stock_exhausted", 409)
    assert (await offer.quote())["reasons"] == ["stock_exhausted"]
    await shop.until_order(order, "cancelled")
    await offer.seat()


async def test_one_seat_per_user_and_team(shop: Shop) -> None:
    offer = await shop.sell(take_limit=5)
    user = fresh("user")
    opener = await offer.seat(user_id=user)
    (await offer.lock(user_id=user, team_id=opener["team_id"])).refused("already_in_team", 409)
    assert (await shop.team(opener["team_id"]))["lock_count"] == 1


async def test_a_seat_given_up_may_be_taken_again_by_the_same_buyer(shop: Shop) -> None:
    offer = await shop.sell(lock_ttl=1, payment_grace=0)
    opener = await offer.seat()
    await shop.settle(opener)
    user = fresh("user")
    order = await offer.seat(user_id=user, team_id=opener["team_id"])
    await shop.until_order(order, "cancelled")
    await offer.seat(user_id=user, team_id=opener["team_id"])


async def test_a_full_team_refuses(shop: Shop) -> None:
    offer = await shop.sell(target_count=2)
    opener, _ = await offer.seats(2)
    (await offer.lock(team_id=opener["team_id"])).refused("team_full", 409)


@pytest.mark.parametrize("end", ["completed", "failed"])
async def test_a_team_that_has_ended_refuses(shop: Shop, end: str) -> None:
    offer = await shop.sell(target_count=2)
    opener, joiner = await offer.seats(2)
    if end == "completed":
        await shop.settle(opener, joiner)
    else:
        (await shop.ops.post(f"/v1/ops/teams/{opener['team_id']}/close", {})).ok()
    await shop.until_team(opener["team_id"], end)
    (await offer.lock(team_id=opener["team_id"])).refused("team_closed", 409)


@pytest.mark.parametrize("state", ["forming", "full", "ended"])
@pytest.mark.parametrize("of", ["another mall", "other goods", "another campaign"])
async def test_a_team_of_something_else_is_not_found(shop: Shop, of: str, state: str) -> None:
    """Whatever state it is in: who asks for something else learns nothing of it."""
    offer = await shop.sell(target_count=2, also_sold_by=[OTHER_SOURCE])
    opener = await offer.seat()
    if state != "forming":
        joiner = await offer.seat(team_id=opener["team_id"])
        if state == "ended":
            await shop.settle(opener, joiner)
    other = await shop.sell()
    request = offer.request(team_id=opener["team_id"])
    changes: Json = {
        "other goods": {"goods_id": other.goods_id},
        "another campaign": {"campaign_id": other.campaign_id},
    }
    mall = shop.other_mall if of == "another mall" else shop.mall
    (await mall.post("/v1/orders", request | changes.get(of, {}))).refused("team_not_found", 404)


async def test_a_team_is_joined_where_its_goods_are_sold(shop: Shop) -> None:
    offer = await shop.sell()
    opener = await offer.seat()
    (await offer.lock(team_id=opener["team_id"], channel="c99")).refused("team_not_found", 404)


async def test_an_unknown_team_is_not_found(shop: Shop) -> None:
    offer = await shop.sell()
    (await offer.lock(team_id=fresh("team"))).refused("team_not_found", 404)
    (await shop.mall.get(f"/v1/teams/{fresh('team')}")).refused("team_not_found", 404)


async def test_unknown_goods_and_campaigns_are_not_found(shop: Shop) -> None:
    offer = await shop.sell()
    unsold = await shop.put_goods()
    for path in ("/v1/quotes", "/v1/orders"):
        asked = {"channel": CHANNEL, "user_id": fresh("user")}
        asked |= {"out_trade_no": fresh("trade")} if path == "/v1/orders" else {}
        (await shop.mall.post(path, {**asked, "goods_id": fresh("goods")})).refused("goods_not_found", 404)
        (await shop.mall.post(path, {**asked, "goods_id": unsold})).refused("campaign_not_found", 404)
        other = {**asked, "goods_id": offer.goods_id}
        (await shop.mall.post(path, {**other, "campaign_id": 2_000_000_000})).refused("campaign_not_found", 404)
        (await shop.mall.post(path, {**other, "channel": "c99"})).refused("campaign_not_found", 404)
        (await shop.other_mall.post(path, other)).refused("campaign_not_found", 404)


@pytest.mark.parametrize("status", ["draft", "paused", "ended"])
async def test_a_campaign_that_is_not_active_gives_no_seat(shop: Shop, status: str) -> None:
    offer = await shop.sell()
    opener = await offer.seat()
    await offer.change(status=status)
    (await offer.lock()).refused("campaign_inactive", 409)
    (await offer.lock(team_id=opener["team_id"])).refused("campaign_inactive", 409)
    quote = await offer.quote()
    assert (quote["joinable"], quote["reasons"]) == (False, ["campaign_inactive"])
    await shop.settle(opener)


async def test_a_draining_campaign_opens_no_team_and_fills_those_that_run(shop: Shop) -> None:
    offer = await shop.sell(target_count=2)
    opener = await offer.seat()
    await offer.change(status="draining")
    (await offer.lock()).refused("campaign_inactive", 409)
    joiner = await offer.seat(team_id=opener["team_id"])
    assert (await shop.settle(opener, joiner))["team"]["status"] == "completed"


@pytest.mark.parametrize(("starts", "ends"), [(1, 2), (-2, -1)], ids=["before", "after"])
async def test_outside_its_window_a_campaign_opens_no_team(shop: Shop, starts: int, ends: int) -> None:
    offer = await shop.sell(starts_at=moment(timedelta(hours=starts)), ends_at=moment(timedelta(hours=ends)))
    (await offer.lock()).refused("campaign_not_open", 409)
    quote = await offer.quote()
    assert (quote["joinable"], quote["reasons"]) == (False, ["campaign_not_open"])


async def test_a_team_s_deadline_is_at_the_latest_the_end_of_its_campaign(shop: Shop) -> None:
    ends_at = moment(timedelta(hours=1))
    offer = await shop.sell(ends_at=ends_at, team_ttl=7200, lock_ttl=5400)
    order = await offer.seat()
    assert moment_of((await shop.team(order["team_id"]))["deadline"]) == moment_of(ends_at)
    assert moment_of(order["lock_expires_at"]) == moment_of(ends_at)


async def test_editing_a_campaign_never_changes_a_running_team(shop: Shop) -> None:
    offer = await shop.sell(target_count=3, team_ttl=3600, lock_ttl=600)
    opener = await offer.seat()
    before = await shop.team(opener["team_id"])
    (await shop.ops.put(f"/v1/ops/goods/{offer.goods_id}?confirm=true", {"name": "Dearer", "original_price": "500.00"})).ok()
    await offer.change(
        target_count=2, min_count=1, team_ttl=1, lock_ttl=1, payment_grace=0, discount={"plan": "fixed", "expr": "1.00"}
    )
    joiner = await offer.seat(team_id=opener["team_id"])
    assert joiner["pay_price"] == opener["pay_price"] == "80.00"
    window = moment_of(joiner["lock_expires_at"]) - moment_of(joiner["locked_at"])
    assert window == timedelta(seconds=600)
    after = await shop.team(opener["team_id"])
    assert (after["target_count"], after["deadline"]) == (3, before["deadline"])
    assert (await shop.settle(opener, joiner))["team"]["status"] == "forming"
    new = await offer.seat()
    assert new["pay_price"] == "1.00"
    assert (await shop.team(new["team_id"]))["target_count"] == 2


async def test_a_change_holds_for_every_request_after_its_answer(shop: Shop) -> None:
    offer = await shop.sell(target_count=100)
    team_id = (await offer.seat())["team_id"]
    for _ in range(10):
        await offer.change(status="paused")
        (await offer.lock()).refused("campaign_inactive", 409)
        (await offer.lock(team_id=team_id)).refused("campaign_inactive", 409)
        await offer.change(status="active")
        await offer.seat()
        await offer.seat(team_id=team_id)
