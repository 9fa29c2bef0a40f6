"""Many buyers at once: no seat is sold twice, nobody gets a 5xx, nobody waits for long."""

import asyncio
from collections import Counter

import psutil
import pytest

from embedded.stack import Stack
from tests.api.shop import Shop, fresh

PATIENCE = 10.0


async def test_200_rush_at_4_seats(shop: Shop, stack: Stack) -> None:
    """With Temporal's own limit of 10 updates in flight per workflow: the stack does not raise it."""
    server = " ".join(psutil.Process(stack.part("temporal").pid).cmdline())
    assert "start-dev" in server
    assert "InFlightUpdates" not in server

    offer = await shop.sell(target_count=5)
    opener = await offer.seat()
    answers = await asyncio.gather(*(offer.lock(team_id=opener["team_id"]) for _ in range(200)))
    assert Counter((answer.status, answer.code) for answer in answers) == {(201, None): 4, (409, "team_full"): 196}
    assert max(answer.seconds for answer in answers) < PATIENCE
    team = await shop.team(opener["team_id"])
    assert (team["lock_count"], len(team["members"])) == (5, 5)


async def test_40_open_teams_of_their_own_at_once(shop: Shop) -> None:
    offer = await shop.sell()
    answers = await asyncio.gather(*(offer.lock() for _ in range(40)))
    assert Counter(answer.status for answer in answers) == {201: 40}
    assert max(answer.seconds for answer in answers) < PATIENCE
    assert len({answer.body["team_id"] for answer in answers}) == 40


@pytest.mark.parametrize("opens", [True, False], ids=["opening teams", "joining teams"])
async def test_one_buyer_in_many_teams_at_once_stays_within_his_limit(shop: Shop, *, opens: bool) -> None:
    offer = await shop.sell(take_limit=2)
    user = fresh("user")
    teams = [None] * 12 if opens else [(await offer.seat())["team_id"] for _ in range(12)]
    requests = [{"team_id": team} if team else {} for team in teams]
    answers = await asyncio.gather(*(offer.lock(user_id=user, **request) for request in requests))
    assert Counter(answer.code for answer in answers) == {None: 2, "take_limit_reached": 10}


@pytest.mark.parametrize("opens", [True, False], ids=["opening teams", "joining teams"])
async def test_the_last_items_of_a_stock_are_sold_once(shop: Shop, *, opens: bool) -> None:
    offer = await shop.sell(stock=15)
    teams = [None] * 12 if opens else [(await offer.seat())["team_id"] for _ in range(12)]
    requests = [{"team_id": team} if team else {} for team in teams * 2]
    answers = await asyncio.gather(*(offer.lock(**request) for request in requests))
    sold = 15 if opens else 3
    assert Counter(answer.code for answer in answers) == {None: sold, "stock_exhausted": 24 - sold}


async def test_one_buyer_gets_one_seat_of_a_team_however_often_he_asks(shop: Shop) -> None:
    offer = await shop.sell(target_count=20, take_limit=10)
    team_id = (await offer.seat())["team_id"]
    user = fresh("user")
    answers = await asyncio.gather(*(offer.lock(team_id=team_id, user_id=user) for _ in range(10)))
    assert Counter(answer.code for answer in answers) == {None: 1, "already_in_team": 9}


async def test_seats_given_up_during_a_rush_are_sold_again_and_never_doubled(shop: Shop) -> None:
    offer = await shop.sell(target_count=4, lock_ttl=2, payment_grace=0)
    opener = await offer.seat()
    await shop.settle(opener)
    sold = 0
    for _ in range(3):
        answers = await asyncio.gather(*(offer.lock(team_id=opener["team_id"]) for _ in range(20)))
        won = [answer.body for answer in answers if answer.status == 201]
        assert Counter(answer.code for answer in answers) == {None: 3, "team_full": 17}
        sold += len(won)
        for order in won:
            await shop.until_order(order, "cancelled")
    team = await shop.team(opener["team_id"])
    assert (team["lock_count"], team["complete_count"], len(team["members"]), team["left_count"]) == (1, 1, 1, sold)
