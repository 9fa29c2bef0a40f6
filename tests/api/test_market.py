"""The market as a buyer finds it: quotes with their reasons, teams to join, statistics; and what switches refuse."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from domain.switches import Switches
from embedded.demo_data import CHANNEL, SOURCE
from tests.api.polling import until
from tests.api.shop import Json, Offer, Shop, fresh

RULES = ["suspended", "rollout", "blocked", "campaign", "goods", "audience", "take_limit", "stock"]
Switch = Callable[[str, object], Awaitable[None]]


@pytest.fixture
async def switch(shop: Shop) -> AsyncIterator[Switch]:
    """Sets a switch until the end of the test."""

    async def turn(name: str, value: object) -> None:
        (await shop.ops.put(f"/v1/ops/switches/{name}", {"value": value})).ok()

    yield turn
    for name, value in Switches().model_dump(mode="json").items():
        await turn(name, value)


async def market(offer: Offer, user: str, **query: str | int) -> Json:
    asked = {"goods_id": offer.goods_id, "channel": CHANNEL, "user_id": user, **query}
    found: Json = (await offer.shop.mall.get("/v1/market", **asked)).ok()
    return found


async def until_counted(offer: Offer, statistics: Json) -> None:
    async def look() -> Json:
        return await market(offer, fresh("user"))

    await until(look, lambda found: found["statistics"] == statistics)


async def test_a_buyer_finds_his_own_team_first_and_others_masked(shop: Shop) -> None:
    offer = await shop.sell(stock=50)
    stranger = await offer.seat(user_id="stranger-7")
    buyer = fresh("user")
    before = await market(offer, buyer)
    assert [(team["mine"], team["seats_left"]) for team in before["teams"]] == [(False, 2)]
    assert before["teams"][0]["members"] == [{"user_id": "s***7", "status": "locked"}]
    assert before["quote"] == await offer.quote(user_id=buyer)

    own = await offer.seat(user_id=buyer)
    found = await market(offer, buyer)

    assert [team["team_id"] for team in found["teams"]] == [own["team_id"], stranger["team_id"]]
    assert set(found["teams"][0]) == {
        *("team_id", "campaign_id", "target_count", "lock_count", "complete_count", "seats_left"),
        *("opened_at", "deadline", "mine", "members"),
    }
    assert found["teams"][0]["members"] == [{"user_id": buyer, "status": "locked"}]
    assert found["quote"]["reasons"] == ["take_limit_reached"]
    await until_counted(offer, {"team_count": 2, "completed_team_count": 0, "user_count": 2})
    assert len((await market(offer, buyer, limit=1))["teams"]) == 1


async def test_a_refund_takes_nothing_from_the_statistics(shop: Shop) -> None:
    offer = await shop.sell(target_count=2)
    members = await offer.seats(2)
    await shop.settle(*members)
    counted = {"team_count": 1, "completed_team_count": 1, "user_count": 2}
    await until_counted(offer, counted)
    (await shop.refund(members[0])).ok(202)
    await shop.until_refund(members[0], "done")
    assert (await market(offer, "u"))["statistics"] == counted


async def test_a_full_team_is_not_offered_and_is_again_when_a_seat_is_given_back(shop: Shop) -> None:
    offer = await shop.sell(target_count=2)
    opener, joiner = await offer.seats(2)
    assert (await market(offer, "u"))["teams"] == []
    (await shop.refund(joiner)).ok(202)
    assert [team["team_id"] for team in (await market(offer, "u"))["teams"]] == [opener["team_id"]]


async def test_an_offer_that_a_buyer_may_not_see_hides_the_teams_of_others(shop: Shop) -> None:
    offer = await shop.sell()
    await offer.seat()
    nobody = fresh("audience")
    (await shop.ops.put(f"/v1/ops/audiences/{nobody}", {"name": "Nobody"})).ok()
    await offer.change(audience=nobody, audience_scope=["visible"])
    found = await market(offer, "u")
    assert (found["quote"]["visible"], found["quote"]["reasons"]) == (False, ["audience_restricted"])
    assert found["teams"] == []
    (await offer.lock()).refused("audience_restricted", 403)


async def test_an_explained_quote_lists_every_rule(shop: Shop, switch: Switch) -> None:
    offer = await shop.sell(stock=5, take_limit=2)
    asked = {"goods_id": offer.goods_id, "channel": CHANNEL, "user_id": "user-1"}
    plain = await offer.quote(user_id="user-1")
    await switch("rollout", 0)

    found = (await shop.mall.post("/v1/quotes?explain=true", asked)).ok()

    rules = {rule["rule"]: rule for rule in found["rules"]}
    assert [rule["rule"] for rule in found["rules"]] == RULES
    assert all(set(rule) == {"rule", "passed", "code", "inputs"} for rule in found["rules"])
    assert {name for name, rule in rules.items() if not rule["passed"]} == {"rollout"}
    assert rules["rollout"]["code"] == "user_outside_rollout"
    assert rules["rollout"]["inputs"] == {"percent": 0, "bucket": 41}
    assert rules["blocked"]["inputs"] == {"source": SOURCE, "channel": CHANNEL, "blocked": False}
    assert rules["campaign"]["inputs"]["status"] == "active"
    assert rules["take_limit"]["inputs"] == {"take_limit": 2, "live_orders": 0}
    assert rules["stock"]["inputs"] == {"stock_left": 5}
    assert {name: found[name] for name in plain} == plain | {"joinable": False, "reasons": ["user_outside_rollout"]}


REFUSED = [
    ("suspended", True, "group_buying_suspended", 503),
    ("rollout", 0, "user_outside_rollout", 403),
    ("blocked", [{"source": SOURCE, "channel": CHANNEL}], "mall_blocked", 403),
]


@pytest.mark.parametrize(("name", "value", "code", "status"), REFUSED)
async def test_a_switch_refuses_seats_and_lets_what_is_under_way_go_on(
    shop: Shop, switch: Switch, name: str, value: object, code: str, status: int
) -> None:
    offer = await shop.sell()
    opener, leaver = await offer.seats(2)
    await switch(name, value)
    (await offer.lock()).refused(code, status)
    (await offer.lock(team_id=opener["team_id"])).refused(code, status)
    assert (await offer.quote())["reasons"] == [code]
    assert (await offer.lock(**{key: opener[key] for key in ("out_trade_no", "user_id")})).replayed
    assert (await shop.refund(leaver)).ok(202)["status"] == "done"
    outcome = (await shop.pay(opener)).ok()["outcome"]
    assert outcome == ("refunding" if name == "blocked" else "settled")
    if name == "blocked":
        refund = await shop.until_refund(opener, "done")
        assert (refund["kind"], refund["amount"]) == ("unsettled", "80.00")


async def test_the_market_of_what_is_not_sold_is_not_found(shop: Shop) -> None:
    offer = await shop.sell()
    asked = {"goods_id": offer.goods_id, "channel": CHANNEL, "user_id": "u"}
    (await shop.mall.get("/v1/market", **{**asked, "goods_id": fresh("goods")})).refused("goods_not_found", 404)
    (await shop.other_mall.get("/v1/market", **asked)).refused("campaign_not_found", 404)
    (await shop.mall.get("/v1/market", **{**asked, "user_id": "!"})).refused("invalid_request", 422)
    (await shop.mall.get("/v1/market", **asked, limit=101)).refused("invalid_request", 422)


async def test_statistics_are_counted_again_after_a_while(shop: Shop) -> None:
    """Also what another process changed: here, the worker that completes a team."""
    offer = await shop.sell(target_count=2)
    opener, _ = await offer.seats(2)
    await shop.settle(opener)
    assert (await market(offer, "u"))["statistics"]["completed_team_count"] == 0
    (await shop.ops.post(f"/v1/ops/teams/{opener['team_id']}/complete", {})).ok()
    await until(lambda: market(offer, "u"), lambda found: found["statistics"]["completed_team_count"] == 1)
