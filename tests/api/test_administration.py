"""Goods and campaigns, as operators set them."""

import asyncio
from datetime import timedelta

import pytest

from embedded.demo_data import CHANNEL, SOURCE
from tests.api.polling import until_moment
from tests.api.shop import Shop, campaign_of, fresh, moment, moment_of


async def test_goods_are_put_changed_and_read(shop: Shop) -> None:
    path = f"/v1/ops/goods/{fresh('goods')}"
    (await shop.ops.get(path)).refused("goods_not_found", 404)
    for name, price in (("Tea 茶 & 'more'", "9.90"), ("Tea", "10.00")):
        goods = (await shop.ops.put(path, {"name": name, "original_price": price})).ok()
        assert goods == {"goods_id": path.rpartition("/")[2], "name": name, "original_price": price}
        assert (await shop.ops.get(path)).ok() == goods


async def test_a_campaign_is_as_it_was_created_with_the_defaults(shop: Shop) -> None:
    new = campaign_of(await shop.put_goods())
    del new["status"]
    campaign = (await shop.ops.post("/v1/ops/campaigns", new)).ok(201)
    for name in ("name", "goods", "target_count"):
        assert campaign[name] == new[name]
    for name in ("starts_at", "ends_at"):
        assert moment_of(campaign[name]) == moment_of(new[name])
    assert campaign["discount"] == {"plan": "cut", "expr": "20", "audience": None}
    defaults = {
        "status": "draft",
        "min_count": None,
        "lock_ttl": 900,
        "payment_grace": 30,
        "team_ttl": 86400,
        "refund_window": 7 * 86400,
        "take_limit": 1,
        "stock": None,
        "audience": None,
        "currency": "CNY",
        "version": 1,
    }
    assert {name: campaign[name] for name in defaults} == defaults
    assert (await shop.ops.get(f"/v1/ops/campaigns/{campaign['campaign_id']}")).ok() == campaign


async def test_an_id_may_be_chosen_once(shop: Shop) -> None:
    new = campaign_of(await shop.put_goods(), status="draft", campaign_id=50_123)
    assert (await shop.ops.post("/v1/ops/campaigns", new)).ok(201)["campaign_id"] == 50_123
    (await shop.ops.post("/v1/ops/campaigns", new)).refused("campaign_conflict", 409)


async def test_campaigns_created_at_once_get_ids_of_their_own(shop: Shop) -> None:
    new = campaign_of(await shop.put_goods(), status="draft")
    created = await asyncio.gather(*(shop.ops.post("/v1/ops/campaigns", new) for _ in range(10)))
    assert len({answer.ok(201)["campaign_id"] for answer in created}) == 10


async def test_a_change_touches_what_it_names(shop: Shop) -> None:
    offer = await shop.sell()
    path = f"/v1/ops/campaigns/{offer.campaign_id}"
    before = (await shop.ops.get(path)).ok()
    changed = await offer.change(name="Autumn", lock_ttl=60, min_count=2)
    assert changed["updated_at"] > before["updated_at"]
    expected = {**before, "name": "Autumn", "lock_ttl": 60, "min_count": 2, "version": 2, "updated_at": changed["updated_at"]}
    assert changed == expected
    assert (await shop.ops.get(path)).ok() == changed


async def test_changes_at_once_are_all_kept(shop: Shop) -> None:
    offer = await shop.sell()
    names = ["lock_ttl", "payment_grace", "team_ttl", "refund_window", "take_limit"]
    await asyncio.gather(*(offer.change(**{name: 77}) for name in names))
    campaign = (await shop.ops.get(f"/v1/ops/campaigns/{offer.campaign_id}")).ok()
    assert [campaign[name] for name in names] == [77] * 5
    assert campaign["version"] == 6


async def test_unknown_campaigns_and_goods_are_not_found(shop: Shop) -> None:
    (await shop.ops.get("/v1/ops/campaigns/2000000000")).refused("campaign_not_found", 404)
    (await shop.ops.patch("/v1/ops/campaigns/2000000000", {"name": "x"})).refused("campaign_not_found", 404)
    (await shop.ops.post("/v1/ops/campaigns", campaign_of(fresh("goods")))).refused("goods_not_found", 404)
    offer = await shop.sell()
    place = {"source": SOURCE, "channel": CHANNEL, "goods_id": fresh("goods")}
    changed = await shop.ops.patch(f"/v1/ops/campaigns/{offer.campaign_id}", {"goods": [place]})
    changed.refused("goods_not_found", 404)
    await offer.seat()


async def test_campaigns_for_the_same_goods_follow_each_other_by_their_times(shop: Shop) -> None:
    offer = await shop.sell(status="draft")
    new = campaign_of(offer.goods_id, starts_at=moment(timedelta(hours=1)), ends_at=moment(timedelta(hours=2)))
    second = (await shop.ops.post("/v1/ops/campaigns", new)).ok(201)["campaign_id"]
    (await offer.lock()).refused("campaign_not_open", 409)
    assert (await offer.quote())["campaign_id"] == second
    conflict = await shop.ops.patch(f"/v1/ops/campaigns/{offer.campaign_id}", {"status": "paused"})
    assert f"Campaign {second} (active)" in conflict.refused("campaign_conflict", 409)["detail"]

    handover = moment_of(moment(timedelta(seconds=3)))
    for campaign_id, window in ((offer.campaign_id, {"ends_at": handover}), (second, {"starts_at": handover})):
        change = {"status": "active", **{name: value.isoformat() for name, value in window.items()}}
        (await shop.ops.patch(f"/v1/ops/campaigns/{campaign_id}", change)).ok()
    assert (await offer.quote())["campaign_id"] == offer.campaign_id
    opener = await offer.seat()
    assert opener["campaign_id"] == offer.campaign_id
    # Nobody changes anything: the offer that is cached ends all the same.
    await until_moment(handover)
    quote = await offer.quote()
    assert (quote["campaign_id"], quote["joinable"]) == (second, True)
    assert (await offer.seat())["campaign_id"] == second

    elsewhere = {**campaign_of(offer.goods_id), "goods": [{**new["goods"][0], "channel": "c02"}]}
    (await shop.ops.post("/v1/ops/campaigns", elsewhere)).ok(201)


async def test_of_many_active_campaigns_created_at_once_one_is(shop: Shop) -> None:
    new = campaign_of(await shop.put_goods())
    answers = await asyncio.gather(*(shop.ops.post("/v1/ops/campaigns", new) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7


async def test_a_stock_is_never_set_below_what_is_live(shop: Shop) -> None:
    offer = await shop.sell()
    path = f"/v1/ops/campaigns/{offer.campaign_id}"
    orders = [await offer.seat() for _ in range(2)]
    (await shop.ops.patch(path, {"stock": 1})).refused("campaign_conflict", 409)
    assert (await shop.ops.get(path)).ok()["stock"] is None
    await offer.change(stock=2)
    (await offer.lock()).refused("stock_exhausted", 409)
    (await shop.ops.patch(path, {"stock": 0})).refused("campaign_conflict", 409)
    await offer.change(stock=3)
    await offer.seat()
    await offer.change(stock=None)
    await offer.seat()
    await shop.settle(*orders)


async def test_a_stock_introduced_during_a_rush_counts_right(shop: Shop) -> None:
    offer = await shop.sell()
    answers, _ = await asyncio.gather(
        asyncio.gather(*(offer.lock() for _ in range(20))),
        offer.change(stock=1000),
    )
    assert {answer.status for answer in answers} == {201}
    await offer.change(stock=20)
    (await offer.lock()).refused("stock_exhausted", 409)


@pytest.mark.parametrize("status", ["draft", "paused", "draining", "ended"])
async def test_campaigns_are_listed_by_status(shop: Shop, status: str) -> None:
    offer = await shop.sell(status=status)
    newest = (await shop.ops.get("/v1/ops/campaigns", status=status, limit=1)).ok()["data"]
    assert [campaign["campaign_id"] for campaign in newest] == [offer.campaign_id]


async def test_a_campaign_that_has_ended_can_be_made_to_run_again(shop: Shop) -> None:
    offer = await shop.sell(ends_at=moment(-timedelta(hours=1)))
    (await offer.lock()).refused("campaign_not_open", 409)
    await offer.change(ends_at=moment(timedelta(hours=1)))
    await offer.seat()
