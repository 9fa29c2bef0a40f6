"""Locking a seat: what is stored, which requests are refused with which code, and that a refusal stores nothing."""

from datetime import timedelta
from decimal import Decimal

import pytest

from db.campaigns.goods import save_goods
from db.campaigns.store import change_campaign
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import OrderStatus, TeamDecision, TeamStatus
from domain.messages.acts import command_line_author as author
from domain.messages.orders import HeldSeat
from domain.schemas.campaigns import CampaignGoods
from domain.schemas.goods import Goods
from tests.db.shop import CHANNEL, DEADLINE, GRACE, LOCK_TTL, NOW, OVERDUE, PAY_PRICE, SOURCE, Member, Shop

TOTALS = """
SELECT (SELECT count(*) FROM teams) AS teams, (SELECT count(*) FROM orders) AS orders,
       (SELECT coalesce(sum(lock_count), 0) FROM teams) AS seats, (SELECT coalesce(sum(live), 0) FROM user_quotas) AS quotas,
       (SELECT coalesce(sum(live), 0) FROM campaign_stock) AS stock, (SELECT count(*) FROM events) AS events
"""


async def test_an_opener_and_a_joiner_lock_seats(shop: Shop) -> None:
    campaign = await shop.campaign(stock=10)
    opener = shop.opener(campaign)
    joiner = shop.joiner(opener)

    first = await shop.lock(opener)
    joined = await shop.lock(joiner, NOW + timedelta(seconds=5))

    assert first.seats[0].status is OrderStatus.LOCKED
    assert (first.team.status, first.team.deadline) == (TeamStatus.FORMING, DEADLINE)
    assert first.seats[0].keep_until == NOW + timedelta(seconds=LOCK_TTL + GRACE)
    assert joined.seats[0].keep_until == first.seats[0].keep_until + timedelta(seconds=5)
    team, order = await shop.team_row(opener), await shop.order_row(joiner)
    assert (team["lock_count"], team["complete_count"], team["status"]) == (2, 0, "forming")
    assert (order["pay_price"], order["deduction"], order["opened_team"]) == (PAY_PRICE, Decimal("20.00"), False)
    assert await shop.value("SELECT live FROM campaign_stock") == 2


async def test_deadline_and_payment_window_end_with_the_campaign(shop: Shop) -> None:
    campaign = await shop.campaign(ends_at=NOW + timedelta(seconds=100))

    seat = await shop.lock(shop.opener(campaign))

    assert seat.team.deadline == campaign.ends_at
    assert seat.seats[0].keep_until == campaign.ends_at + timedelta(seconds=GRACE)


async def test_a_team_keeps_the_terms_it_was_opened_under(shop: Shop) -> None:
    campaign = await shop.campaign()
    (opener,) = await shop.team(campaign)
    changes = {"discount": {"plan": "cut", "expr": "1"}, "target_count": 5, "lock_ttl": 1, "payment_grace": 0, "team_ttl": 1}
    await change_campaign(shop.database, campaign.campaign_id, changes, by=author("tests"), now=NOW)
    goods = Goods(goods_id=opener.request.goods_id, name="Book", original_price=Decimal("500.00"))
    await save_goods(shop.database, goods, by=author("tests"), now=NOW, confirmed=True)

    joiner = shop.joiner(opener)
    seat = await shop.lock(joiner)

    assert (seat.team.deadline, seat.seats[0].keep_until) == (DEADLINE, OVERDUE)
    assert (await shop.order_row(joiner))["pay_price"] == PAY_PRICE
    assert (await shop.team_row(opener))["target_count"] == 3


async def test_running_teams_continue_with_goods_removed_from_the_campaign(shop: Shop) -> None:
    campaign = await shop.campaign()
    (opener,) = await shop.team(campaign)
    others = CampaignGoods(source=SOURCE, channel=CHANNEL, goods_id=await shop.goods())
    await change_campaign(shop.database, campaign.campaign_id, {"goods": [others]}, by=author("tests"), now=NOW)

    assert isinstance(await shop.try_lock(shop.joiner(opener)), HeldSeat)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"team_id": "nowhere"}, ErrorCode.TEAM_NOT_FOUND),
        ({"source": "s02"}, ErrorCode.TEAM_NOT_FOUND),
        ({"goods_id": "other"}, ErrorCode.TEAM_NOT_FOUND),
        ({"channel": "c02"}, ErrorCode.TEAM_NOT_FOUND),
        ({"campaign_id": 5}, ErrorCode.TEAM_NOT_FOUND),
        ({"opens_team": True, "goods_id": "other"}, ErrorCode.GOODS_NOT_FOUND),
        ({"opens_team": True, "channel": "c02"}, ErrorCode.CAMPAIGN_NOT_FOUND),
        ({"opens_team": True, "source": "s02"}, ErrorCode.CAMPAIGN_NOT_FOUND),
        ({"opens_team": True, "campaign_id": 5}, ErrorCode.CAMPAIGN_NOT_FOUND),
    ],
)
async def test_unknown_teams_goods_and_campaigns_are_refused(shop: Shop, fields: dict[str, object], code: ErrorCode) -> None:
    (opener,) = await shop.team(await shop.campaign())

    assert await shop.try_lock(shop.joiner(opener).with_request(**fields)) is code


@pytest.mark.parametrize(("status", "may_join"), [("draft", False), ("paused", False), ("draining", True), ("ended", False)])
async def test_campaign_status_decides_about_new_seats(shop: Shop, status: str, may_join: bool) -> None:
    campaign = await shop.campaign()
    (opener,) = await shop.team(campaign)
    await change_campaign(shop.database, campaign.campaign_id, {"status": status}, by=author("tests"), now=NOW)

    assert await shop.try_lock(shop.opener(campaign)) is ErrorCode.CAMPAIGN_INACTIVE
    joined = await shop.try_lock(shop.joiner(opener))
    assert isinstance(joined, HeldSeat) if may_join else joined is ErrorCode.CAMPAIGN_INACTIVE


async def test_campaign_window_and_team_deadline_decide_about_new_seats(shop: Shop) -> None:
    campaign = await shop.campaign()
    (opener,) = await shop.team(campaign)

    assert await shop.try_lock(shop.opener(campaign), campaign.starts_at - timedelta(seconds=1)) is ErrorCode.CAMPAIGN_NOT_OPEN
    assert await shop.try_lock(shop.opener(campaign), campaign.ends_at) is ErrorCode.CAMPAIGN_NOT_OPEN
    assert await shop.try_lock(shop.joiner(opener), DEADLINE) is ErrorCode.TEAM_CLOSED
    assert isinstance(await shop.try_lock(shop.joiner(opener), DEADLINE - timedelta(microseconds=1)), HeldSeat)


async def test_an_ended_team_refuses_joiners(shop: Shop) -> None:
    opener, _ = await shop.team(await shop.campaign(), locked=1, paid=1)
    await shop.conclude(opener, TeamDecision.CLOSE)

    assert await shop.try_lock(shop.joiner(opener)) is ErrorCode.TEAM_CLOSED


async def test_a_refusal_stores_nothing(shop: Shop) -> None:
    campaign = await shop.campaign(stock=3, take_limit=1)
    members = await shop.team(campaign, locked=3)
    other = await shop.team(await shop.campaign(take_limit=1))
    before = await shop.rows(TOTALS)

    refusals = [
        await shop.try_lock(shop.joiner(members[0])),
        await shop.try_lock(shop.opener(campaign)),
        await shop.try_lock(shop.opener(campaign, user=members[0].request.user_id)),
        await shop.try_lock(shop.joiner(other[0], user=other[0].request.user_id)),
        await shop.try_lock(shop.opener(other[0].campaign, user=other[0].request.user_id)),
        await shop.try_lock(shop.opener(campaign, number=other[0].number)),
    ]

    assert refusals == [
        ErrorCode.TEAM_FULL,
        ErrorCode.STOCK_EXHAUSTED,
        ErrorCode.TAKE_LIMIT_REACHED,
        ErrorCode.ALREADY_IN_TEAM,
        ErrorCode.TAKE_LIMIT_REACHED,
        ErrorCode.OUT_TRADE_NO_REUSED,
    ]
    assert await shop.rows(TOTALS) == before


async def test_a_refused_number_can_be_requested_again(shop: Shop) -> None:
    members = await shop.team(await shop.campaign(), locked=3)
    retried = shop.joiner(members[0])
    assert await shop.try_lock(retried) is ErrorCode.TEAM_FULL
    await shop.settle(members[2], Decimal("1.00"))

    assert isinstance(await shop.try_lock(retried), HeldSeat)


async def test_a_repeat_returns_the_order_in_any_status(shop: Shop) -> None:
    opener, joiner = await shop.team(await shop.campaign(), locked=1, paid=1)
    await shop.lock(joiner)
    await shop.conclude(opener, TeamDecision.CLOSE)

    paid, cancelled = await shop.lock(opener), await shop.lock(joiner, DEADLINE)

    assert (paid.seats[0].status, paid.team.status) == (OrderStatus.PAID, TeamStatus.FAILED)
    assert (cancelled.seats[0].status, cancelled.seats[0].live) == (OrderStatus.CANCELLED, False)


@pytest.mark.parametrize("change", [{"user_id": "other"}, {"channel": "c02"}, {"goods_id": "other"}, {"team_id": "other"}])
async def test_the_same_number_with_other_content_is_refused(shop: Shop, change: dict[str, str]) -> None:
    opener, joiner = await shop.team(await shop.campaign(), locked=2)

    assert await shop.try_lock(joiner.with_request(**change)) is ErrorCode.OUT_TRADE_NO_REUSED
    assert await shop.try_lock(opener.with_request(**change)) is ErrorCode.OUT_TRADE_NO_REUSED
    assert await shop.try_lock(joiner.with_request(opens_team=True)) is ErrorCode.OUT_TRADE_NO_REUSED


async def test_an_unknown_order_cannot_be_paid(shop: Shop) -> None:
    (opener,) = await shop.team(await shop.campaign())

    for unknown in (shop.joiner(opener), Member(opener.campaign, shop.opener(opener.campaign).request)):
        with pytest.raises(Refusal) as refused:
            await shop.settle(unknown)
        assert refused.value.code is ErrorCode.ORDER_NOT_FOUND
