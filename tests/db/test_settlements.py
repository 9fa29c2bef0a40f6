"""Who bears what: pinned by the team, split by order, booked when a refund window ends; the report's sums are the orders'."""

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from db.campaigns.store import change_campaign
from db.core.connection import connection, fetch_one
from db.core.invariants import Horizons, violations
from db.core.pagination import Position
from db.orders.queries import OrderFilter, list_ops_orders
from db.reconciliation.invariants import check_settlement, next_turn
from db.settlements import (
    SettlementFilter,
    book_unearned_discount,
    count_settlements,
    list_settlements,
    settlement_key,
    unbooked_teams,
)
from db.statistics import count_day
from db.teams.timeline import read_timeline
from domain.lifecycle import TeamDecision
from domain.messages.acts import command_line_author as author
from domain.pricing import Discount, DiscountPlan
from domain.schemas.campaigns import Campaign
from domain.schemas.invariants import Violation
from domain.schemas.settlements import MonthlySettlement
from domain.settlements import Borne, total_borne
from tests.db.shop import NOW, PAY_PRICE, PRICE, SOURCE, Member, Shop

DAY = timedelta(days=1)
WINDOW = 7 * DAY
WINDOW_OVER = NOW + WINDOW
MAY = date(2026, 5, 1)
IN_MAY = SettlementFilter("2026-05", "2026-05", SOURCE)
UNTIL_JULY = SettlementFilter("2026-05", "2026-07")


async def completed(
    shop: Shop, campaign: Campaign, members: int = 3, at: datetime = NOW, pays: Decimal = PAY_PRICE
) -> list[Member]:
    first = shop.opener(campaign)
    team = [first, *(shop.joiner(first) for _ in range(members - 1))]
    for member in team:
        await shop.lock(member, at)
    for member in team:
        await shop.settle(member, pays, at)
    if members < campaign.target_count:
        await shop.conclude(first, TeamDecision.COMPLETE, at)
    return team


async def booked(shop: Shop, member: Member, now: datetime = WINDOW_OVER) -> Borne | None:
    return await book_unearned_discount(shop.database, member.team_id, now)


async def wrong(shop: Shop, now: datetime) -> list[Violation]:
    """What invariant 9 says; nobody goes on with the refunds of these tests."""
    return [found for found in await violations(shop.database, now) if found.invariant == 9]


async def month(shop: Shop) -> MonthlySettlement:
    """Counts all days of May, and returns what the report says of it."""
    for number in range(31):
        await count_settlements(shop.database, MAY + number * DAY, NOW)
    (found,) = await list_settlements(shop.database, IN_MAY, None, 9)
    return found


async def test_a_team_pins_the_share_and_every_order_its_parts(shop: Shop) -> None:
    campaign = await shop.campaign(merchant_share=33)
    first, other = await shop.team(campaign, locked=2)
    await change_campaign(shop.database, campaign.campaign_id, {"merchant_share": 0}, by=author("tests"), now=NOW)
    later = shop.joiner(first)
    await shop.lock(later)
    (newer,) = await shop.team(campaign.model_copy(update={"merchant_share": 0}))
    shares = {(await shop.team_row(member))["merchant_share"] for member in (first, other, later)}
    assert (shares, (await shop.team_row(newer))["merchant_share"]) == ({33}, 0)
    orders = await list_ops_orders(shop.database, OrderFilter(team_id=first.team_id), None, 9)
    assert {(order.merchant_deduction, order.platform_deduction) for order in orders} == {(Decimal("6.60"), Decimal("13.40"))}
    assert (await shop.order_row(newer))["merchant_deduction"] == 0


async def test_what_a_team_did_not_earn_is_booked_when_its_refund_window_ends(shop: Shop) -> None:
    first, *_ = await completed(shop, await shop.campaign(merchant_share=75))
    await shop.refund(first)
    assert await unbooked_teams(shop.database, WINDOW_OVER - timedelta(microseconds=1), 9) == []
    assert await unbooked_teams(shop.database, WINDOW_OVER, 9) == [first.team_id]
    assert await booked(shop, first) == Borne(Decimal("30.00"), Decimal("10.00"))
    assert (await unbooked_teams(shop.database, WINDOW_OVER, 9), await booked(shop, first)) == ([], None)
    [entry] = [each for each in await read_timeline(shop.database, first.team_id) if each.kind == "unearned"]
    assert (entry.amount, entry.code, entry.detail) == (Decimal("40.00"), "2 / 3", "10.00")


@pytest.mark.parametrize(
    ("fields", "members", "leave", "unearned"),
    [
        ({}, 3, 0, None),
        ({"target_count": 4, "min_count": 2}, 4, 2, Decimal(0)),
        ({"target_count": 4, "min_count": 2}, 4, 3, Decimal("20.00")),
        ({"target_count": 4}, 2, 1, Decimal("20.00")),
        ({}, 3, 3, Decimal(0)),
    ],
    ids=["nobody left", "enough stayed", "too few stayed", "of those whom an operator completed", "nobody stayed"],
)
async def test_it_is_unearned_where_fewer_stay_than_the_team_needed(
    shop: Shop, fields: dict[str, int], members: int, leave: int, unearned: Decimal | None
) -> None:
    team = await completed(shop, await shop.campaign(**fields), members)
    for member in team[:leave]:
        await shop.refund(member)
    due = await unbooked_teams(shop.database, WINDOW_OVER, 9)
    assert due == ([] if unearned is None else [team[0].team_id])
    if unearned is not None:
        assert await booked(shop, team[0]) == Borne(unearned, Decimal(0))


async def test_a_member_who_leaves_later_changes_what_was_booked_by_the_difference(shop: Shop) -> None:
    first, second, third = await completed(shop, await shop.campaign(merchant_share=50))
    await shop.refund(first)
    assert await booked(shop, first) == Borne(Decimal("20.00"), Decimal("20.00"))
    for member in (second, third):
        await shop.refund(member, WINDOW_OVER + DAY, operator="ann", force=True)
        assert await booked(shop, first, WINDOW_OVER + DAY) == Borne(Decimal("-10.00"), Decimal("-10.00"))
    assert await shop.value("SELECT sum(merchant + platform) FROM unearned_discounts") == 0
    assert await wrong(shop, WINDOW_OVER + 2 * DAY) == []


async def test_a_month_says_what_came_of_it(shop: Shop) -> None:
    campaign = await shop.campaign(merchant_share=75)
    first, *_ = await completed(shop, campaign)
    left, *_ = await shop.team(campaign, paid=2)  # a payment that goes back before a completion was no sale
    await shop.refund(left)
    await shop.refund(first, NOW + DAY)
    await booked(shop, first)
    found = await month(shop)
    assert (found.month, found.orders, found.sales) == ("2026-05", 3, 3 * PAY_PRICE)
    assert (found.merchant_discount, found.platform_discount) == (Decimal("45.00"), Decimal("15.00"))
    assert (found.refunded_orders, found.refunds) == (1, PAY_PRICE)
    assert (found.refunded_merchant_discount, found.refunded_platform_discount) == (Decimal("15.00"), Decimal("5.00"))
    assert (found.unearned_merchant_discount, found.unearned_platform_discount) == (Decimal("30.00"), Decimal("10.00"))


async def test_pages_of_months_go_on_where_the_last_one_ended(shop: Shop) -> None:
    campaign = await shop.campaign(ends_at=NOW + 99 * DAY)
    for months in range(3):
        at = datetime(2026, 5 + months, 31 - months % 2, 23, 59, tzinfo=UTC)
        await completed(shop, campaign, at=at)
        await count_settlements(shop.database, at.date(), at)
    found = []
    after = None
    while rows := await list_settlements(shop.database, UNTIL_JULY, after, 1):
        (row,) = rows
        found.append(row.month)
        after = Position(*settlement_key(row))
    assert found == ["2026-07", "2026-06", "2026-05"]
    assert await list_settlements(shop.database, SettlementFilter("2026-05", "2026-06", "nobody"), None, 9) == []


SUMS = """
SELECT count(*), sum(o.pay_price), sum(o.merchant_deduction), sum(o.deduction - o.merchant_deduction)
  FROM orders o JOIN teams t USING (team_id) WHERE t.completed_at IS NOT NULL AND o.status = 'paid'
"""
UNEARNED = "SELECT coalesce(sum(merchant), 0), coalesce(sum(platform), 0) FROM unearned_discounts"


@pytest.mark.parametrize("seed", range(3))
async def test_the_report_s_sums_are_the_orders(shop: Shop, seed: int) -> None:
    """Of teams of any share and size, completed in any way, that members left at any time."""
    dice = random.Random(seed)  # noqa: S311 - the same cases in every run
    for _ in range(12):
        target = dice.randint(2, 5)
        fields = {"target_count": target, "min_count": dice.choice([None, dice.randint(1, target)])}
        pays = Decimal(dice.randint(1000, 9999)) / 100
        discount = Discount(plan=DiscountPlan.FIXED, expr=str(pays))
        share = dice.randint(0, 100)
        campaign = await shop.campaign(merchant_share=share, discount=discount, ends_at=NOW + 90 * DAY, **fields)
        at = NOW + dice.randint(0, 40) * DAY
        team = await completed(shop, campaign, dice.randint(1, target), at, pays)
        for member in dice.sample(team, dice.randint(0, len(team))):
            await shop.refund(member, at + dice.randint(0, 9) * DAY, operator="ann", force=True)
            if dice.random() < 0.3:
                await booked(shop, member, at + WINDOW)
    for team_id in await unbooked_teams(shop.database, NOW + 90 * DAY, 99):
        await book_unearned_discount(shop.database, team_id, NOW + 50 * DAY)
    end = NOW + 60 * DAY
    for day in range(60):
        await count_settlements(shop.database, (NOW + day * DAY).date(), end)
        await count_day(shop.database, (NOW + day * DAY).date(), end)
    months = await list_settlements(shop.database, UNTIL_JULY, None, 9)

    async with connection(shop.database) as conn:
        orders, sales, merchant, platform = await fetch_one(conn, SUMS)
        unearned = await fetch_one(conn, UNEARNED)
    assert sum(each.orders - each.refunded_orders for each in months) == orders
    assert sum(each.sales - each.refunds for each in months) == sales
    given = total_borne(Borne(each.merchant_discount, each.platform_discount) for each in months)
    returned = total_borne(Borne(each.refunded_merchant_discount, each.refunded_platform_discount) for each in months)
    assert given - returned == Borne(merchant, platform)
    assert merchant + platform == orders * PRICE - sales
    not_earned = total_borne(Borne(each.unearned_merchant_discount, each.unearned_platform_discount) for each in months)
    assert not_earned == Borne(*unearned)
    assert await wrong(shop, end) == []


async def test_a_report_that_differs_from_the_orders_is_found(shop: Shop) -> None:
    await completed(shop, await shop.campaign())
    today, later = NOW.date(), NOW + 2 * DAY
    await count_settlements(shop.database, today, NOW)
    await count_day(shop.database, today, NOW)
    await shop.execute("UPDATE daily_settlements SET sales = sales + 0.01")
    assert await wrong(shop, later) == []  # the day is not over yet, and is counted again
    await count_day(shop.database, today, later)
    (found,) = await wrong(shop, later)
    assert (found.invariant, found.subject) == (9, f"settlement of {SOURCE} on {today}")
    assert await check_settlement(shop.database, today + DAY, later, Horizons()) == []
    assert await check_settlement(shop.database, today, later, Horizons()) == []
    assert await wrong(shop, later) == []  # it was counted again


async def test_a_row_that_commits_late_is_counted_before_it_is_called_a_difference(shop: Shop) -> None:
    campaign = await shop.campaign()
    await completed(shop, campaign)
    today, later = NOW.date(), NOW + 2 * DAY
    await count_settlements(shop.database, today, later)
    await count_day(shop.database, today, later)
    await completed(shop, campaign)  # with a time of the day that is counted
    assert await check_settlement(shop.database, today, later, Horizons()) == []
    (found,) = await list_settlements(shop.database, IN_MAY, None, 9)
    assert found.orders == 6


async def test_a_difference_that_a_count_does_not_mend_is_reported(shop: Shop) -> None:
    await completed(shop, await shop.campaign())
    today, later = NOW.date(), NOW + 2 * DAY
    await count_settlements(shop.database, today, later)
    await count_day(shop.database, today, later)
    await shop.execute("UPDATE daily_settlements SET orders = 0")
    await shop.execute("CREATE FUNCTION miscount() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.sales := 0; RETURN NEW; END'")
    await shop.execute("CREATE TRIGGER miscount BEFORE UPDATE ON daily_settlements FOR EACH ROW EXECUTE FUNCTION miscount()")
    try:
        (found,) = await check_settlement(shop.database, today, later, Horizons())
        assert (found.invariant, found.subject) == (9, f"settlement of {SOURCE} on {today}")
    finally:
        await shop.execute("DROP FUNCTION miscount CASCADE")
    assert await check_settlement(shop.database, today, later, Horizons()) == []


async def test_every_day_s_settlement_has_its_turn(shop: Shop) -> None:
    days = {
        (await next_turn(shop.database, NOW + minute * timedelta(minutes=1), Horizons())).settlement_day for minute in range(31)
    }
    assert days == {NOW.date() - age * DAY for age in range(1, 32)}
