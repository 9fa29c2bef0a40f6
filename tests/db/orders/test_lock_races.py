"""Concurrent requests for the same seat, out_trade_no, quota or stock."""

import asyncio
from collections import Counter
from decimal import Decimal

import pytest

from db.campaigns.store import change_campaign
from db.core.connection import transaction
from db.core.invariants import violations
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import TeamDecision
from domain.messages.acts import command_line_author as author
from domain.messages.orders import HeldSeat
from domain.schemas.campaigns import Campaign
from tests.db.shop import NOW, OVERDUE, SOURCE, Member, Shop

LOCK_QUOTA = """
INSERT INTO user_quotas AS q (campaign_id, source, user_id, live) VALUES ($1, $2, $3, 0)
ON CONFLICT (campaign_id, source, user_id) DO UPDATE SET live = q.live
"""


def outcomes(answers: list[HeldSeat | ErrorCode]) -> Counter[str]:
    return Counter("held" if isinstance(answer, HeldSeat) else answer for answer in answers)


def assert_one_order(answers: list[HeldSeat]) -> None:
    """Checks that one answer is the first, and all others are repeats of it."""
    assert Counter(answer.repeated for answer in answers) == {False: 1, True: len(answers) - 1}
    assert all(answer.seats == answers[0].seats and answer.team == answers[0].team for answer in answers)


async def test_exactly_the_free_seats_are_taken(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=4)
    for taken in (1, 2, 3) * 15:
        members = await shop.team(campaign, locked=taken)

        answers = await shop.race(*(shop.try_lock(shop.joiner(members[0])) for _ in range(8)))

        assert outcomes(answers) == {"held": 4 - taken, ErrorCode.TEAM_FULL: 4 + taken}
        assert (await shop.team_row(members[0]))["lock_count"] == 4


async def test_concurrent_identical_opens_create_one_team(shop: Shop) -> None:
    campaign = await shop.campaign(stock=100)
    for round_ in range(1, 41):
        opener = shop.opener(campaign)

        answers = await shop.race(*(shop.lock(opener) for _ in range(3)))

        assert_one_order(answers)
        assert await shop.value("SELECT live FROM campaign_stock") == round_


async def test_concurrent_identical_joins_create_one_order(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=2)
    for _ in range(25):
        (opener,) = await shop.team(campaign)
        joiner = shop.joiner(opener)

        answers = await shop.race(*(shop.lock(joiner) for _ in range(20)))

        assert_one_order(answers)
        assert (await shop.team_row(opener))["lock_count"] == 2


async def test_concurrent_requests_with_one_number_and_different_content_create_one_order(shop: Shop) -> None:
    campaign = await shop.campaign()
    for _ in range(25):
        one, other = (await shop.team(campaign))[0], (await shop.team(campaign))[0]
        first = shop.joiner(one)
        rivals = [first, first.with_request(user_id=shop.fresh("u")), first.with_request(team_id=other.team_id)]
        rivals.append(shop.opener(campaign, number=first.number, user=first.request.user_id))

        answers = await shop.race(*map(shop.try_lock, rivals))

        assert outcomes(answers) == {"held": 1, ErrorCode.OUT_TRADE_NO_REUSED: 3}
        orders = await shop.rows("SELECT team_id, user_id FROM orders WHERE out_trade_no = $1", first.number)
        winner = rivals[[isinstance(answer, HeldSeat) for answer in answers].index(True)]
        assert [(winner.team_id, winner.request.user_id)] == [tuple(order) for order in orders]


async def test_concurrent_joins_of_a_user_get_one_seat_in_a_team(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=4, take_limit=10)
    for _ in range(25):
        (opener,) = await shop.team(campaign)
        user = shop.fresh("u")

        answers = await shop.race(*(shop.try_lock(shop.joiner(opener, user=user)) for _ in range(3)))

        assert outcomes(answers) == {"held": 1, ErrorCode.ALREADY_IN_TEAM: 2}
        assert await shop.live_of(campaign, user) == 1


async def test_a_take_limit_holds_across_teams(shop: Shop) -> None:
    for limit in (1, 3):
        campaign = await shop.campaign(take_limit=limit)
        for _ in range(30):
            user = shop.fresh("u")
            teams = [(await shop.team(campaign))[0] for _ in range(4)]
            members = [shop.joiner(team, user=user) for team in teams]
            members += [shop.opener(campaign, user=user) for _ in range(2)]

            answers = await shop.race(*map(shop.try_lock, members))

            assert outcomes(answers) == {"held": limit, ErrorCode.TAKE_LIMIT_REACHED: 6 - limit}
            assert await shop.live_of(campaign, user) == limit


async def test_a_stock_holds_across_teams(shop: Shop) -> None:
    for _ in range(30):
        campaign = await shop.campaign(target_count=4, stock=7)
        teams = [(await shop.team(campaign))[0] for _ in range(3)]
        members = [shop.joiner(team) for team in teams for _ in range(2)] + [shop.opener(campaign) for _ in range(2)]

        answers = await shop.race(*map(shop.try_lock, members))

        assert outcomes(answers) == {"held": 4, ErrorCode.STOCK_EXHAUSTED: 4}
        assert await shop.value("SELECT live FROM campaign_stock WHERE campaign_id = $1", campaign.campaign_id) == 7


async def test_a_stock_set_during_locks_and_releases_counts_every_live_order(shop: Shop) -> None:
    async def restock(campaign: Campaign, stock: int | None) -> None:
        try:
            await change_campaign(shop.database, campaign.campaign_id, {"stock": stock}, by=author("tests"), now=NOW)
        except Refusal as refused:
            assert refused.code is ErrorCode.CAMPAIGN_CONFLICT  # noqa: PT017 - one of several outcomes

    async def seat(member: Member) -> None:
        answer = await shop.try_lock(member)
        assert isinstance(answer, HeldSeat) or answer is ErrorCode.STOCK_EXHAUSTED

    for _ in range(30):
        campaign = await shop.campaign(target_count=4)
        releasing = [await shop.team(campaign, locked=2) for _ in range(2)]
        staying = await shop.team(campaign, paid=1, locked=0)

        async def release(team: list[Member]) -> None:
            await shop.release(team[0], OVERDUE)

        await shop.race(
            *(seat(shop.joiner(staying[0])) for _ in range(3)),
            *(seat(shop.opener(campaign)) for _ in range(3)),
            *(release(team) for team in releasing),
            restock(campaign, 5),
            restock(campaign, None),
            restock(campaign, 6),
        )

        assert await violations(shop.database, NOW) == []
        counters = await shop.rows("SELECT stock FROM campaign_stock WHERE campaign_id = $1", campaign.campaign_id)
        saved = await shop.value("SELECT stock FROM campaigns WHERE campaign_id = $1", campaign.campaign_id)
        assert [row["stock"] for row in counters] == ([] if saved is None else [saved])


async def test_a_join_that_waits_for_the_teams_conclusion_is_refused_as_closed(shop: Shop) -> None:
    (opener,) = await shop.team(await shop.campaign())
    async with transaction(shop.database) as blocker:
        await blocker.execute("SELECT FROM teams WHERE team_id = $1 FOR UPDATE", opener.team_id)
        closing = asyncio.create_task(shop.conclude(opener, TeamDecision.CLOSE))
        await shop.until_waiting(1)
        joining = asyncio.create_task(shop.try_lock(shop.joiner(opener)))
        await shop.until_waiting(2)

    assert (await closing).decides_team
    assert await joining is ErrorCode.TEAM_CLOSED


@pytest.mark.parametrize("change", ["open", "join", "release", "return"])
async def test_setting_a_stock_waits_for_seat_changes_in_progress(shop: Shop, change: str) -> None:
    campaign = await shop.campaign()
    opener, other = await shop.team(campaign, locked=2)
    newcomer = shop.opener(campaign) if change == "open" else shop.joiner(opener)
    buyer = (newcomer if change in {"open", "join"} else other).request.user_id

    async def seat() -> object:
        match change:
            case "release":
                return await shop.release(other)
            case "return":
                return await shop.settle(other, Decimal("1.00"))
            case _:
                return await shop.lock(newcomer)

    async with transaction(shop.database) as blocker:
        await blocker.execute(LOCK_QUOTA, campaign.campaign_id, SOURCE, buyer)
        in_progress = asyncio.create_task(seat())
        await shop.until_waiting(1)
        counting = asyncio.create_task(
            change_campaign(shop.database, campaign.campaign_id, {"stock": 5}, by=author("tests"), now=NOW)
        )
        await shop.until_waiting(2)

    await in_progress
    await counting
    live = {"open": 3, "join": 3, "release": 0, "return": 1}[change]
    assert await shop.value("SELECT live FROM campaign_stock") == live
