"""The life of a campaign as operators lead it: moves, confirmations, versions, and its end."""

import asyncio
from typing import Any

from temporalio.client import Client

from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import Offer, Shop, campaign_of
from tests.api.signals import details


def path(offer: Offer, rest: str = "") -> str:
    return f"/v1/ops/campaigns/{offer.campaign_id}{rest}"


async def until_done(shop: Shop, offer: Offer) -> Any:  # noqa: ANN401
    async def look() -> Any:  # noqa: ANN401
        return (await shop.ops.get(path(offer, "/ending"))).ok()

    return await until(look, lambda seen: seen["status"] == "done")


async def test_a_campaign_goes_through_its_life_and_does_not_come_back(shop: Shop) -> None:
    offer = await shop.sell(status="draft")
    for status, opens in (("active", True), ("paused", False), ("active", True), ("draining", False), ("ended", False)):
        assert (await shop.ops.patch(path(offer), {"status": status})).ok()["status"] == status
        assert (await offer.lock()).status == (201 if opens else 409)
    for status in ("draft", "active", "paused", "draining"):
        (await shop.ops.patch(f"{path(offer)}?confirm=true", {"status": status})).refused("campaign_conflict", 409)
    assert (await shop.ops.patch(path(offer), {"status": "ended", "name": "Over"})).ok()["name"] == "Over"


async def test_what_may_lose_money_is_done_when_it_is_confirmed(shop: Shop) -> None:
    over = {"starts_at": "2026-01-01T00:00:00Z", "ends_at": "2026-02-01T00:00:00Z"}
    new = campaign_of(await shop.put_goods(), **over)
    problem = (await shop.ops.post("/v1/ops/campaigns", new)).refused("confirmation_required", 409)
    assert [error["field"] for error in problem["errors"]] == ["ends_at"]
    draft = (await shop.ops.post("/v1/ops/campaigns", new | {"status": "draft"})).ok(201)
    activate = f"/v1/ops/campaigns/{draft['campaign_id']}"
    (await shop.ops.patch(activate, {"status": "active"})).refused("confirmation_required", 409)
    assert (await shop.ops.get(activate)).ok() == draft
    assert (await shop.ops.patch(f"{activate}?confirm=true", {"status": "active"})).ok()["version"] == 2
    assert (await shop.ops.patch(activate, {"name": "Accepted before"})).ok()["version"] == 3

    goods_id = await shop.put_goods()
    steep = campaign_of(goods_id, discount={"plan": "cut", "expr": "95"}, audience="vip")
    (await shop.ops.put("/v1/ops/audiences/vip", {"name": "VIP"})).ok()
    problem = (await shop.ops.post("/v1/ops/campaigns", steep)).refused("confirmation_required", 409)
    assert [error["field"] for error in problem["errors"]] == ["discount", "audience_scope"]
    (await shop.ops.post("/v1/ops/campaigns?confirm=true", steep)).ok(201)
    goods, dearer = f"/v1/ops/goods/{goods_id}", {"name": "A book", "original_price": "200.00"}
    problem = (await shop.ops.put(goods, dearer)).refused("confirmation_required", 409)
    assert [error["field"] for error in problem["errors"]] == ["original_price"]
    assert (await shop.ops.put(f"{goods}?confirm=true", dearer)).ok()["original_price"] == "200.00"


async def test_every_version_is_kept_and_a_team_names_its_own(shop: Shop) -> None:
    offer = await shop.sell()
    first = (await shop.ops.get(path(offer))).ok()
    opener = await offer.seat()
    second = await offer.change(target_count=9, discount={"plan": "cut", "expr": "30"})
    later = await offer.seat()
    third = await offer.change(name="Third")

    listed = (await shop.ops.get(path(offer, "/versions"), limit=2)).ok()
    assert [version["campaign"] for version in listed["data"]] == [third, second]
    rest = (await shop.ops.get(path(offer, "/versions"), limit=2, cursor=listed["next_cursor"])).ok()
    assert (rest["data"][0]["campaign"], rest["next_cursor"]) == (first, None)
    assert {version["changed_by"] for version in listed["data"]} == {rest["data"][0]["changed_by"]}
    teams = (await shop.ops.get("/v1/ops/teams", campaign_id=offer.campaign_id)).ok()["data"]
    assert {team["team_id"]: (team["campaign_version"], team["target_count"]) for team in teams} == {
        opener["team_id"]: (1, 3),
        later["team_id"]: (2, 9),
    }
    assert (opener["pay_price"], later["pay_price"]) == ("80.00", "70.00")
    assert (await offer.seat(team_id=opener["team_id"]))["pay_price"] == "80.00"
    assert (await shop.ops.get(path(offer, "/versions/1"))).ok()["campaign"] == first
    for missing in ("/versions/4", "/versions/2147483646"):
        (await shop.ops.get(path(offer, missing))).refused("campaign_not_found", 404)
    (await shop.ops.get(path(offer, "/versions/0"))).refused("invalid_request", 422)
    (await shop.ops.get("/v1/ops/campaigns/2000000000/versions")).refused("campaign_not_found", 404)
    (await shop.mall.get(path(offer, "/versions"))).refused("forbidden", 403)


async def test_an_ending_refunds_everybody_whose_team_is_not_complete(shop: Shop, receiver: Receiver, temporal: Client) -> None:
    offer = await shop.sell(target_count=2)
    callback = {"callback": receiver.callback()}
    complete = await offer.seats(2, **callback)
    await shop.settle(*complete)
    teams = [await offer.seats(members, **callback) for members in (1, 2, 1)]
    await shop.settle(*(team[0] for team in teams[:2]))

    preview = (await shop.ops.get(path(offer, "/ending"))).ok()
    assert preview == {
        "status": "not_begun",
        "campaign_id": offer.campaign_id,
        "teams": 3,
        "orders": 4,
        "unpaid_orders": 2,
        "paid_orders": 2,
        "amount": "160.00",
        "completed_teams": 1,
    }
    for unseen in (None, {"teams": 3}, {"teams": 3, "amount": "80.00"}, {"teams": 2, "amount": "160.00"}):
        problem = (await shop.ops.post(path(offer, "/ending"), unseen)).refused("confirmation_required", 409)
        assert {error["field"] for error in problem["errors"]} <= {"teams", "amount"}
    assert (await shop.ops.get(path(offer))).ok()["status"] == "active"

    seen = {"teams": 3, "amount": "160.00", "reason": "sold out"}
    begun = (await shop.ops.post(path(offer, "/ending"), seen)).ok(202)
    assert (begun["teams_total"], begun["refunds_total"], begun["amount_total"]) == (3, 2, "160.00")
    assert (begun["reason"], begun["workflow"]["id"]) == ("sold out", f"campaign-shutdown-{offer.campaign_id}")
    assert (await shop.ops.get(path(offer))).ok()["status"] == "ended"
    (await offer.lock()).refused("campaign_inactive", 409)

    done = await until_done(shop, offer)
    assert (done["teams_done"], done["teams_completed"], done["refunds_done"]) == (3, 0, 2)
    assert (done["amount_returned"], done["refunds_attention"]) == ("160.00", 0)
    for team in teams:
        assert (await shop.team(team[0]["team_id"]))["status"] == "failed"
    for order in (teams[0][0], teams[1][0]):
        assert (await shop.order(order["out_trade_no"]))["status"] == "refunded"
    assert (await shop.team(complete[0]["team_id"]))["status"] == "completed"
    again = await shop.ops.post(path(offer, "/ending"))
    assert again.replayed
    assert again.body == done
    assert "`sold out`): done." in await details(temporal.get_workflow_handle(begun["workflow"]["id"]))


async def test_plainly_ended_a_campaign_lets_its_teams_run_and_may_be_ended_with_them_later(shop: Shop) -> None:
    offer = await shop.sell()
    (order,) = await offer.seats(1)
    await shop.settle(order)
    await offer.change(status="ended")
    assert (await shop.team(order["team_id"]))["status"] == "forming"
    (await shop.ops.post(path(offer, "/ending?confirm=true"))).ok(202)
    assert (await until_done(shop, offer))["amount_returned"] == "80.00"
    assert (await shop.ops.get(path(offer))).ok()["version"] == 2


async def test_an_ending_that_was_terminated_goes_on_when_it_is_asked_for_again(shop: Shop, temporal: Client) -> None:
    offer = await shop.sell()
    orders = [await offer.seat() for _ in range(8)]
    await shop.settle(*orders)
    begun = (await shop.ops.post(path(offer, "/ending?confirm=true"))).ok(202)
    await temporal.get_workflow_handle(begun["workflow"]["id"]).terminate()
    assert (await shop.ops.post(path(offer, "/ending"))).replayed
    done = await until_done(shop, offer)
    assert (done["teams_done"], done["amount_returned"], done["begun_at"]) == (8, "640.00", begun["begun_at"])


async def test_a_rush_meets_the_end_of_its_campaign(shop: Shop) -> None:
    offer = await shop.sell(target_count=2)

    async def buy() -> bool:
        locked = await offer.lock()
        if locked.status == 409:
            locked.refused("campaign_inactive", 409)
            return False
        await shop.pay(locked.ok(201))
        return True

    async def end() -> None:
        # Some are in already.
        await until(lambda: shop.ops.get("/v1/ops/teams", campaign_id=offer.campaign_id), lambda seen: seen.body["data"])
        answers = await asyncio.gather(*(shop.ops.post(path(offer, "/ending?confirm=true")) for _ in range(3)))
        assert {answer.status for answer in answers} <= {200, 202}

    bought, _ = await asyncio.gather(asyncio.gather(*(buy() for _ in range(40))), end())
    done = await until_done(shop, offer)
    teams = (await shop.ops.get("/v1/ops/teams", campaign_id=offer.campaign_id, limit=100)).ok()["data"]
    assert {team["status"] for team in teams} == {"failed"}
    assert len(teams) == sum(map(bool, bought)) == done["teams_total"]
    # Also what was paid for seats that were gone by then.
    orders = f"/v1/ops/orders?campaign_id={offer.campaign_id}&owed=true"
    await until(lambda: shop.ops.get(orders), lambda seen: seen.ok()["data"] == [])


async def test_only_operations_end_campaigns_that_are_there(shop: Shop) -> None:
    offer = await shop.sell()
    (await shop.mall.get(path(offer, "/ending"))).refused("forbidden", 403)
    (await shop.mall.post(path(offer, "/ending?confirm=true"))).refused("forbidden", 403)
    for call in (shop.ops.get, shop.ops.post):
        (await call("/v1/ops/campaigns/2000000000/ending")).refused("campaign_not_found", 404)
    for body in ({"teams": -1}, {"teams": "3"}, {"amount": 80}, {"everything": True}):
        (await shop.ops.post(path(offer, "/ending"), body)).refused("invalid_request", 422)
