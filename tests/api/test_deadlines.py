"""What the team's workflow does by its own clock: with windows of seconds.

Who pays before a window ends has two seconds for it: on a busy machine one is too short for two requests.
"""

import asyncio
from datetime import timedelta
from typing import Any

from tests.api.polling import until, until_moment
from tests.api.receiver import Receiver
from tests.api.shop import Offer, Shop, fresh, moment_of

SHORT: Any = {"lock_ttl": 2, "payment_grace": 0}


async def ops_team(shop: Shop, offer: Offer) -> Any:  # noqa: ANN401
    """The only team of this offer, as operators see it."""
    [team] = (await shop.ops.get("/v1/ops/teams", campaign_id=offer.campaign_id)).ok()["data"]
    return team


async def test_an_unpaid_seat_is_given_up_with_its_quotas_and_the_mall_is_told(shop: Shop, receiver: Receiver) -> None:
    offer = await shop.sell(**SHORT, take_limit=1, stock=2)
    opener = await offer.seat(callback=receiver.callback())
    await shop.settle(opener)
    user = fresh("user")
    order = await offer.seat(team_id=opener["team_id"], user_id=user, callback=receiver.callback())
    cancelled = await shop.until_order(order, "cancelled")
    assert cancelled["cancel_reason"] == "lock_timeout"
    team = await shop.team(opener["team_id"])
    assert (team["status"], team["lock_count"], team["complete_count"]) == ("forming", 1, 1)
    [callback] = await receiver.of_type("order.cancelled")
    assert callback.data == {
        "out_trade_no": order["out_trade_no"],
        "team_id": order["team_id"],
        "reason": "lock_timeout",
    }
    assert (await offer.quote(user_id=user))["joinable"]
    await offer.seat(user_id=user, team_id=opener["team_id"])


async def test_a_seat_taken_when_no_other_was_unpaid_is_given_up_too(shop: Shop) -> None:
    """The team's timer stood at its deadline then: it must come earlier."""
    offer = await shop.sell(**SHORT, target_count=5)
    opener = await offer.seat()
    await shop.settle(opener)
    for _ in range(2):
        order = await offer.seat(team_id=opener["team_id"])
        await shop.until_order(order, "cancelled")
    assert (await shop.team(opener["team_id"]))["lock_count"] == 1


async def test_seats_of_several_moments_are_each_given_up_in_their_time(shop: Shop) -> None:
    offer = await shop.sell(**SHORT, target_count=10)
    opener = await offer.seat()
    await shop.settle(opener)
    early = await offer.seat(team_id=opener["team_id"])
    await until_moment(moment_of(early["locked_at"]) + timedelta(seconds=1))
    late = await offer.seat(team_id=opener["team_id"])
    await shop.until_order(early, "cancelled")
    await shop.until_order(late, "cancelled")
    assert (await shop.team(opener["team_id"]))["lock_count"] == 1


async def test_within_the_grace_a_payment_still_settles(shop: Shop) -> None:
    offer = await shop.sell(lock_ttl=1, payment_grace=30)
    order = await offer.seat()
    await until_moment(moment_of(order["lock_expires_at"]))
    await shop.settle(order)


async def test_a_team_whose_last_member_left_is_abandoned_without_a_team_event(shop: Shop, receiver: Receiver) -> None:
    offer = await shop.sell(**SHORT)
    opener, joiner = await offer.seats(2, callback=receiver.callback())
    await shop.until_team(opener["team_id"], "failed")
    assert (await ops_team(shop, offer))["fail_reason"] == "abandoned"
    assert [(await shop.order(order["out_trade_no"]))["cancel_reason"] for order in (opener, joiner)] == ["lock_timeout"] * 2
    await receiver.of_type("order.cancelled", 2)
    assert {one.type for one in receiver.received} == {"order.cancelled"}
    (await offer.lock(team_id=opener["team_id"])).refused("team_closed", 409)


async def test_at_its_deadline_a_team_that_is_not_full_fails_and_who_has_paid_gets_it_back(
    shop: Shop, receiver: Receiver
) -> None:
    offer = await shop.sell(team_ttl=2, payment_grace=0)
    paid, unpaid = await offer.seats(2, callback=receiver.callback())
    await shop.settle(paid)
    await shop.until_team(paid["team_id"], "failed")
    assert (await ops_team(shop, offer))["fail_reason"] == "expired"
    [failed] = await receiver.of_type("team.failed")
    assert failed.data["team_id"] == paid["team_id"]
    assert failed.data["reason"] == "expired"
    assert paid["out_trade_no"] in failed.data["out_trade_nos"]
    assert (await shop.order(unpaid["out_trade_no"]))["status"] == "cancelled"
    await receiver.of_type("order.cancelled")
    [refunded] = await receiver.of_type("order.refunded")
    assert (refunded.data["out_trade_no"], refunded.data["amount"]) == (paid["out_trade_no"], "80.00")
    await shop.until_order(paid, "refunded")


async def test_with_min_count_the_deadline_completes_a_team(shop: Shop, receiver: Receiver) -> None:
    offer = await shop.sell(team_ttl=2, payment_grace=0, min_count=1)
    paid, unpaid = await offer.seats(2, callback=receiver.callback())
    await shop.settle(paid)
    team = await shop.until_team(paid["team_id"], "completed")
    assert (team["lock_count"], team["complete_count"]) == (1, 1)
    assert (await ops_team(shop, offer))["completion"] == "min_count"
    [callback] = await receiver.of_type("team.completed")
    assert callback.data == {
        "team_id": paid["team_id"],
        "campaign_id": offer.campaign_id,
        "completion": "min_count",
        "out_trade_nos": [paid["out_trade_no"]],
    }
    assert (await shop.order(unpaid["out_trade_no"]))["cancel_reason"] in {"lock_timeout", "team_completed"}
    assert (await shop.ops.get("/v1/ops/orders", campaign_id=offer.campaign_id, owed="true")).ok()["data"] == []


async def test_below_min_count_the_deadline_fails_a_team(shop: Shop) -> None:
    offer = await shop.sell(team_ttl=2, payment_grace=0, min_count=2)
    opener = await offer.seat()
    await shop.settle(opener)
    await shop.until_team(opener["team_id"], "failed")


async def test_after_the_deadline_nobody_joins_but_a_seat_still_held_can_be_paid(shop: Shop) -> None:
    offer = await shop.sell(team_ttl=1, payment_grace=30, target_count=2)
    opener, joiner = await offer.seats(2)
    await shop.settle(opener)
    await until_moment(moment_of(joiner["lock_expires_at"]))
    (await offer.lock(team_id=opener["team_id"])).refused("team_closed", 409)
    assert (await shop.settle(joiner))["team"]["status"] == "completed"


async def test_the_last_payment_and_the_deadline_race_to_one_ending(shop: Shop, receiver: Receiver) -> None:
    offer = await shop.sell(team_ttl=3, payment_grace=0, target_count=2, take_limit=5)

    async def half_paid() -> list[Any]:
        orders = await offer.seats(2, callback=receiver.callback())
        await shop.settle(orders[0])
        return orders

    teams = await asyncio.gather(*(half_paid() for _ in range(5)))
    answers = await asyncio.gather(*(pay_at_expiry(shop, joiner) for _, joiner in teams))
    for (opener, _), answer in zip(teams, answers, strict=True):
        team = await until(lambda: shop.team(opener["team_id"]), lambda seen: seen["status"] != "forming")  # noqa: B023
        assert (team["status"] == "completed") == (answer.ok()["outcome"] == "settled")


async def pay_at_expiry(shop: Shop, order: Any) -> Any:  # noqa: ANN401
    await until_moment(moment_of(order["lock_expires_at"]) - timedelta(milliseconds=50))
    return await shop.pay(order)
