"""The statistics of a day are what its rows say, and a later count corrects an earlier one."""

from datetime import timedelta
from decimal import Decimal

from api.runtime.quote_counts import QuoteCounts
from db.core.connection import Database, connection
from db.statistics import StatisticsFilter, count_day, counted_days, list_mall_statistics, list_statistics
from domain.lifecycle import TeamDecision
from domain.schemas.statistics import DayStatistics
from domain.types import MAX_AMOUNT
from tests.db.conftest import Server
from tests.db.shop import NOW, OVERDUE, SHOP_ADDRESS, SOURCE, Shop

TODAY = NOW.date()
PAY_THE_MOST = """
UPDATE orders SET original_price = $1, pay_price = $1, deduction = 0, merchant_deduction = 0, paid_amount = $1
 WHERE status = 'paid'
"""


async def _counted(shop: Shop, source: str | None = None) -> DayStatistics:
    await count_day(shop.database, TODAY, NOW)
    (day,) = await list_statistics(shop.database, StatisticsFilter(TODAY, TODAY, source))
    return day


async def test_an_empty_day_has_a_row_of_zeros(shop: Shop) -> None:
    day = await _counted(shop)
    assert (day.source, day.teams_opened, day.amount_paid, day.form_seconds_median) == (None, 0, Decimal(), None)
    assert await list_statistics(shop.database, StatisticsFilter(TODAY, TODAY, SOURCE)) == []
    assert await counted_days(shop.database, TODAY) == {TODAY: NOW}


async def test_a_day_is_counted_from_its_rows(shop: Shop) -> None:
    campaign = await shop.campaign()
    completed = await shop.team(campaign, locked=3)
    for minutes, member in enumerate(completed, start=1):
        await shop.settle(member, now=NOW + timedelta(minutes=minutes))
    paid, unpaid = await shop.team(campaign, paid=1, locked=1)
    await shop.refund(paid)
    await shop.finish(paid)
    expired = await shop.team(campaign, locked=1)
    await shop.release(expired[0], OVERDUE)

    first = await _counted(shop)
    assert (first.teams_opened, first.teams_completed, first.teams_failed) == (3, 1, 1)
    assert (first.seats_locked, first.seats_paid, first.seats_completed, first.seats_lapsed) == (6, 4, 3, 1)
    assert (first.amount_paid, first.discount) == (Decimal("320.00"), Decimal("80.00"))
    assert (first.refunds_unpaid, first.refunds_paid_unformed, first.refunds_paid_formed) == (0, 1, 0)
    assert first.amount_refunded == Decimal("80.00")
    assert (first.form_seconds_median, first.form_seconds_p90) == (180, 180)
    assert (await _counted(shop, SOURCE)).model_copy(update={"source": None}) == first

    await shop.conclude(unpaid, TeamDecision.CLOSE, NOW)
    later = await _counted(shop)
    assert (later.teams_failed, later.seats_lapsed, later.teams_opened) == (2, 2, 3)


async def test_a_day_s_sums_may_exceed_what_one_order_costs_at_most(shop: Shop) -> None:
    await shop.team(await shop.campaign(), paid=2)
    async with connection(shop.database) as conn:
        await conn.execute(PAY_THE_MOST, MAX_AMOUNT)
    assert (await _counted(shop)).amount_paid == 2 * MAX_AMOUNT


async def test_quotes_of_all_processes_are_added_up(shop: Shop) -> None:
    processes = [QuoteCounts(shop.database) for _ in range(2)]
    for _ in range(3):
        for process in processes:
            process.count(SOURCE, 1, NOW)
            process.count("s02", 2, NOW)
    for process in [*processes, *processes]:
        await process.write()
    assert ((await _counted(shop)).quotes, (await _counted(shop, SOURCE)).quotes) == (12, 6)


async def test_quotes_are_kept_while_the_database_is_away(shop: Shop, server: Server) -> None:
    away = Database(server.database_url, size=1)
    await away.close()
    counts = QuoteCounts(away)
    counts.count(SOURCE, 1, NOW)
    await counts.write()
    counts._database = shop.database
    counts.count(SOURCE, 1, NOW)
    await counts.write()
    assert (await _counted(shop)).quotes == 2


ATTEMPTED = """
UPDATE deliveries SET attempts = 5, status = 'dead', finished_at = since
 WHERE event_id = (SELECT min(event_id) FROM deliveries);
UPDATE deliveries SET attempts = 2, status = 'delivered', finished_at = since + interval '8 seconds' WHERE status = 'pending'
"""


async def test_how_malls_take_their_callbacks(shop: Shop) -> None:
    first, *_ = await shop.team(await shop.campaign(), locked=3, callback=SHOP_ADDRESS)
    await shop.conclude(first, TeamDecision.CLOSE, NOW)  # three orders, and the team
    await shop.execute(ATTEMPTED)
    day = await _counted(shop)
    assert (day.callback_attempts, day.callbacks_delivered, day.callbacks_dead) == (5 + 3 * 2, 3, 1)
    assert (day.callback_seconds_median, day.callback_seconds_p90) == (8, 8)
    assert [each.source for each in await list_mall_statistics(shop.database, TODAY, 9)] == [SOURCE]
    assert await list_mall_statistics(shop.database, TODAY + timedelta(days=1), 9) == []
    await shop.execute("UPDATE deliveries SET status = 'pending', finished_at = NULL")  # as no attempt was made
