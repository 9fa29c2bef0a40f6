"""A team's version grows by one in every transaction that changes the team or its seats, and in no other."""

from collections.abc import Awaitable
from datetime import timedelta
from decimal import Decimal

from db.teams.conclude import extend_team
from db.teams.take_over import take_over
from domain.lifecycle import MallAnswer, PaymentOutcome, TeamDecision
from domain.messages.teams import ExtendTeam, TakeOver, TeamAnswer
from tests.acts import act_of
from tests.db.shop import DEADLINE, NOW, OVERDUE, SHOP_ADDRESS, Member, Shop


async def grown(shop: Shop, team: Member, change: Awaitable[object]) -> int:
    """By how much the version grows; an answer says the version that is in the row then."""
    before = (await shop.team_row(team))["version"]
    answer = await change
    after = (await shop.team_row(team))["version"]
    if isinstance(answer, TeamAnswer):
        assert answer.team.version == after
    return int(after) - int(before)


async def test_of_a_forming_team(shop: Shop) -> None:
    (opener,) = await shop.team(await shop.campaign(target_count=9), locked=1)
    assert (await shop.team_row(opener))["version"] == 1
    members = [shop.joiner(opener) for _ in range(6)]
    for member in members:
        assert await grown(shop, opener, shop.lock(member)) == 1
        assert await grown(shop, opener, shop.lock(member)) == 0
    assert await grown(shop, opener, shop.settle(opener)) == 1
    assert await grown(shop, opener, shop.settle(opener)) == 0
    assert await grown(shop, opener, shop.settle(members[0], Decimal("1.00"))) == 1
    assert await grown(shop, opener, shop.refund(members[1])) == 1
    assert await grown(shop, opener, shop.refund(members[1])) == 0
    assert await grown(shop, opener, shop.settle(members[1])) == 0  # late: it holds no seat
    extend = ExtendTeam(team_id=opener.team_id, minutes=60, now=NOW, act=act_of())
    assert await grown(shop, opener, extend_team(shop.database, extend)) == 1
    assert await grown(shop, opener, extend_team(shop.database, extend)) == 0
    assert await grown(shop, opener, shop.release(opener, OVERDUE)) == 1  # of several seats
    assert await grown(shop, opener, shop.release(opener, OVERDUE)) == 0
    reseated = await shop.settle(members[2], now=OVERDUE)
    assert (reseated.outcome, reseated.team.version) == (PaymentOutcome.RESEATED, (await shop.team_row(opener))["version"])
    assert await grown(shop, opener, take_over(shop.database, TakeOver(team_id=opener.team_id, now=NOW))) == 0


async def test_of_a_team_that_is_concluded(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=4)
    for decision in (TeamDecision.CLOSE, TeamDecision.COMPLETE, TeamDecision.DEADLINE):
        members = await shop.team(campaign, paid=1, locked=2)
        now = NOW if decision is not TeamDecision.DEADLINE else DEADLINE + timedelta(minutes=1)
        assert await grown(shop, members[0], shop.conclude(members[0], decision, now)) == 1
        assert await grown(shop, members[0], shop.conclude(members[0], decision, now)) == 0


async def test_of_a_team_that_is_abandoned(shop: Shop) -> None:
    campaign = await shop.campaign()
    members = await shop.team(campaign, locked=2)
    assert await grown(shop, members[0], shop.release(members[0], OVERDUE)) == 1
    (alone,) = await shop.team(campaign, paid=1, locked=0)
    assert await grown(shop, alone, shop.refund(alone)) == 1


async def test_of_a_completed_team(shop: Shop) -> None:
    members = await shop.team(await shop.campaign(), paid=2, locked=1, callback=SHOP_ADDRESS)
    assert await grown(shop, members[0], shop.settle(members[2])) == 1
    assert await grown(shop, members[0], shop.refund(members[0])) == 1
    assert await grown(shop, members[0], shop.answer(members[0], MallAnswer.VETOED)) == 1
    assert await grown(shop, members[0], shop.refund(members[0], attempt=2)) == 1
    assert await grown(shop, members[0], shop.answer(members[0], MallAnswer.AGREED, attempt=2)) == 1
    assert await grown(shop, members[0], shop.finish(members[0], attempt=2)) == 0
