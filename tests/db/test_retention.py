"""Old teams are removed with all their rows; what counts on, counts on. A user's id is replaced in what is kept."""

import asyncio
import json
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from click.testing import CliRunner

from cli.main import main
from db.callbacks.deliveries import assign_sequences
from db.callbacks.queries import read_feed
from db.campaigns.funnel import read_funnel
from db.campaigns.market import count_statistics
from db.core.connection import connection, transaction
from db.core.invariants import violations
from db.orders.lock import WAIT
from db.retention.erasure import OrdersUnderWay, erase_user
from db.retention.removal import Removal, next_old_teams, preview, remove_next, remove_teams
from db.settings.audit import ChangeFilter, list_changes
from db.settlements import SettlementFilter, count_settlements, list_settlements
from db.statistics import count_day
from domain.errors import ErrorCode
from domain.lifecycle import MallAnswer, OrderStatus, TeamDecision
from domain.retention import Kept
from tests.acts import act_of
from tests.db.conftest import Server
from tests.db.shop import DEADLINE, NOW, PRICE, SHOP_ADDRESS, SOURCE, Member, Shop

DAY = timedelta(days=1)
WINDOW = 7 * DAY
LONG_AFTER = NOW + WINDOW + timedelta(seconds=1)
"""a cutoff by which everything of a team of NOW is over"""
ROWS = ("teams", "orders", "refunds", "events", "deliveries", "delivery_attempts", "payment_conflicts", "unearned_discounts")


async def removed(shop: Shop, cutoff: datetime = LONG_AFTER) -> Removal:
    old = await next_old_teams(shop.database, cutoff)
    expected = await preview(shop.database, old.team_ids, cutoff)
    removal = await remove_teams(shop.database, old.team_ids, cutoff)
    assert removal == expected
    return removal


async def sequenced(shop: Shop) -> None:
    await assign_sequences(shop.database, SOURCE)


async def rows(shop: Shop) -> dict[str, int]:
    return {table: await shop.value(f"SELECT count(*) FROM {table}") for table in ROWS}  # noqa: S608


async def completed(shop: Shop, **fields: object) -> list[Member]:
    members = await shop.team(await shop.campaign(**fields), locked=0, paid=3)
    await sequenced(shop)
    return members


async def test_everything_of_an_old_team_goes_and_its_numbers_stay_used(shop: Shop) -> None:
    first, *others = await completed(shop, take_limit=1)
    newer = shop.opener(first.campaign)
    assert await shop.try_lock(shop.opener(first.campaign, user=first.request.user_id)) is ErrorCode.TAKE_LIMIT_REACHED
    assert await removed(shop) == Removal(1, 3, 1)
    assert set((await rows(shop)).values()) == {0}
    assert await shop.try_lock(first) is ErrorCode.OUT_TRADE_NO_REUSED
    assert await shop.try_settle(first) is ErrorCode.ORDER_NOT_FOUND
    assert await shop.try_lock(shop.joiner(first)) is ErrorCode.TEAM_NOT_FOUND
    assert await shop.try_lock(shop.opener(first.campaign, user=first.request.user_id)) is ErrorCode.TAKE_LIMIT_REACHED
    await shop.lock(newer)
    for member in others:
        assert await shop.try_lock(member) is ErrorCode.TEAM_NOT_FOUND
        assert await shop.try_lock(shop.joiner(newer, number=member.number)) is ErrorCode.OUT_TRADE_NO_REUSED
    assert await removed(shop, NOW) == Removal()


async def test_an_archived_team_is_kept_as_its_rows_were(shop: Shop) -> None:
    first, second, *_ = await shop.team(await shop.campaign(target_count=2), locked=0, paid=2, callback=SHOP_ADDRESS)
    await shop.refund(first)
    await shop.answer(first, MallAnswer.AGREED)
    await shop.finish(first)
    await sequenced(shop)
    await shop.execute("UPDATE deliveries SET status = 'closed', finished_at = $1", NOW)
    await shop.execute("UPDATE teams SET unearned_booked_at = $1", NOW)
    await shop.execute("DELETE FROM team_wakeups")
    team, orders = (await shop.rows("SELECT * FROM teams"))[0], await shop.rows("SELECT * FROM orders ORDER BY order_id")
    events = await shop.rows("SELECT event_id, count(*) FROM deliveries GROUP BY event_id")
    assert (await remove_teams(shop.database, [first.team_id], LONG_AFTER, archives=True)).teams == 1
    assert set((await rows(shop)).values()) == {0}

    (kept,) = await shop.rows("SELECT * FROM archived_teams")
    assert (kept["team_id"], kept["source"], kept["opened_at"]) == (first.team_id, SOURCE, team["opened_at"])
    assert kept["user_ids"] == [order["user_id"] for order in orders]
    record = json.loads(kept["record"], parse_float=Decimal)
    assert record["team"].keys() == dict(team).keys()
    assert [order.keys() for order in record["orders"]] == [dict(order).keys() - {"user_id"} for order in orders]
    for archived, order in zip(record["orders"], orders, strict=True):
        assert (archived["order_id"], archived["pay_price"]) == (order["order_id"], order["pay_price"])
        assert datetime.fromisoformat(archived["locked_at"]) == order["locked_at"]
    assert [(refund["order_id"], refund["status"]) for refund in record["refunds"]] == [(first.order_id, "done")]
    assert {event["event_id"]: len(event["deliveries"]) for event in record["events"]} == dict(map(tuple, events))
    assert await shop.try_lock(first) is ErrorCode.OUT_TRADE_NO_REUSED

    user = second.request.user_id
    outcome = await erase_user(shop.database, SOURCE, user, "erased-1", act_of(), LONG_AFTER)
    assert outcome.detail == f"a user of {SOURCE}: 0 order(s), 1 archived team(s), 1 quota(s), 0 audience(s)"
    assert await shop.value("SELECT user_ids FROM archived_teams") == [
        "erased-1" if order["user_id"] == user else order["user_id"] for order in orders
    ]
    assert await shop.value("SELECT strpos(archived_teams::text, $1) FROM archived_teams", user) == 0


async def test_what_is_counted_of_a_campaign_stays(shop: Shop) -> None:
    first, *_ = await completed(shop, stock=4)
    campaign_id = first.campaign.campaign_id
    (lapsed,) = await shop.team(first.campaign, locked=1)
    await shop.conclude(lapsed, TeamDecision.CLOSE, NOW)
    await sequenced(shop)
    before = await read_funnel(shop.database, campaign_id), await count_statistics(shop.database, [(SOURCE, campaign_id)])
    assert (await removed(shop)).teams == 2
    assert before == (
        await read_funnel(shop.database, campaign_id),
        await count_statistics(shop.database, [(SOURCE, campaign_id)]),
    )
    await shop.lock(shop.opener(first.campaign))
    assert await shop.try_lock(shop.opener(first.campaign)) is ErrorCode.STOCK_EXHAUSTED


async def test_figures_of_days_that_were_counted_stay(shop: Shop) -> None:
    await completed(shop)
    counted = NOW + 2 * DAY
    await count_settlements(shop.database, NOW.date(), counted)
    await count_day(shop.database, NOW.date(), counted)
    month = SettlementFilter(f"{NOW:%Y-%m}", f"{NOW:%Y-%m}", SOURCE)
    before = await list_settlements(shop.database, month, None, 9)
    assert before[0].orders == 3
    await removed(shop)
    assert await list_settlements(shop.database, month, None, 9) == before
    assert await violations(shop.database, LONG_AFTER) == []


async def test_the_feed_goes_on_after_the_last_sequence(shop: Shop) -> None:
    await completed(shop)
    (last,) = await read_feed(shop.database, SOURCE, 0, 9)
    await removed(shop)
    assert await read_feed(shop.database, SOURCE, 0, 9) == []
    await completed(shop)
    assert [event.sequence for event in await read_feed(shop.database, SOURCE, 0, 9)] == [last.sequence + 1]


async def test_what_is_not_done_is_kept(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=2)
    forming = await shop.team(campaign, locked=1)
    failed = await shop.team(campaign, locked=0, paid=1)
    await shop.conclude(failed[0], TeamDecision.CLOSE, NOW)
    asked = await shop.team(campaign, locked=0, paid=2)
    await shop.refund(asked[0])
    left = await shop.team(campaign, locked=0, paid=2)
    await shop.refund(left[0])
    await shop.answer(left[0], MallAnswer.AGREED)
    await shop.finish(left[0])
    await sequenced(shop)
    assert (await removed(shop)).kept[Kept.NOT_TAKEN_OVER] == 1
    await shop.execute("DELETE FROM team_wakeups")
    kept = (await removed(shop)).kept
    assert kept == {Kept.UNDECIDED: 1, Kept.UNFINISHED: 2, Kept.NOT_BOOKED: 1}
    assert (await shop.order_row(forming[0]))["status"] == OrderStatus.LOCKED
    await shop.conclude(forming[0], TeamDecision.DEADLINE, DEADLINE)


async def test_a_callback_keeps_its_team_until_it_is_delivered_or_closed(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=2)
    await shop.team(campaign, locked=0, paid=2, callback=SHOP_ADDRESS)
    await sequenced(shop)
    assert (await removed(shop)).kept == {Kept.UNDELIVERED: 1}
    await shop.execute("UPDATE deliveries SET status = 'dead', finished_at = $1", NOW)
    assert (await removed(shop)).kept == {Kept.NEEDS_OPERATOR: 1}
    await shop.execute("UPDATE deliveries SET status = 'closed'")
    await shop.execute(
        "INSERT INTO delivery_attempts (event_id, kind, address, format, started_at, duration_ms, error)"
        " SELECT event_id, kind, address, format, $1, 1, 'refused' FROM deliveries",
        NOW,
    )
    assert await removed(shop) == Removal(1, 2, 1)
    assert set((await rows(shop)).values()) == {0}


async def test_a_payment_of_another_amount_waits_for_a_person(shop: Shop) -> None:
    first, *_ = await completed(shop)
    assert await shop.try_settle(first, PRICE) is ErrorCode.OUT_TRADE_NO_REUSED
    assert (await removed(shop)).kept == {Kept.NEEDS_OPERATOR: 1}
    await shop.execute("UPDATE payment_conflicts SET resolved_at = $1", NOW)
    assert (await removed(shop)).teams == 1


async def test_a_pass_goes_through_all_old_teams_in_slices(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=2, take_limit=99)
    teams = [await shop.team(campaign, locked=1) for _ in range(3)]
    for (member,) in teams[1:]:
        await shop.conclude(member, TeamDecision.CLOSE, NOW)
    await sequenced(shop)
    removal, is_more = await remove_next(shop.database, LONG_AFTER, NOW)
    assert (removal.teams, removal.kept, is_more) == (2, {Kept.UNDECIDED: 1}, False)


async def test_a_lock_that_waits_for_the_removal_of_its_number_is_refused(shop: Shop) -> None:
    (first, *_) = await completed(shop)
    async with transaction(shop.database) as conn:
        await conn.execute("SELECT groupbuy_fence($1, NULL)", first.order_id)
        removal = asyncio.create_task(removed(shop))
        await shop.until_waiting(1)
        repeat = asyncio.create_task(shop.try_lock(first.with_request(request_id="again")))
        await shop.until_waiting(2)
    assert (await removal).teams == 1
    assert await repeat is ErrorCode.OUT_TRADE_NO_REUSED
    async with connection(shop.database) as conn:
        await conn.execute(WAIT, first.order_id)  # whoever only waits for others is not refused


async def test_an_erased_user_is_in_no_row(shop: Shop) -> None:
    first, *_ = await completed(shop, take_limit=1)
    user = first.request.user_id
    await shop.audience("vip", user, "other")
    with pytest.raises(OrdersUnderWay, match=first.number):
        await erase_user(shop.database, SOURCE, user, "erased-1", act_of(), NOW)
    outcome = await erase_user(shop.database, SOURCE, user, "erased-1", act_of(reason="ticket 7"), NOW + WINDOW)
    assert outcome.detail == f"a user of {SOURCE}: 1 order(s), 0 archived team(s), 1 quota(s), 1 audience(s)"
    for table, column in (("orders", "user_id"), ("user_quotas", "user_id"), ("audience_members", "user_id")):
        assert await shop.value(f"SELECT count(*) FROM {table} WHERE {column} = $1", user) == 0  # noqa: S608
    assert await shop.value("SELECT member_count FROM audiences") == 1
    (change, *_) = await list_changes(shop.database, ChangeFilter(subject="user"), None, 9)
    assert (change.subject, change.reason, change.action) == ("user/erased-1", "ticket 7", "erase")
    assert await shop.try_lock(first) is ErrorCode.OUT_TRADE_NO_REUSED
    again = await erase_user(shop.database, SOURCE, user, "erased-2", act_of(), NOW + WINDOW)
    assert not again.changed


async def test_the_command_counts_first_and_removes_when_it_is_told(shop: Shop, server: Server) -> None:
    first, *_ = await completed(shop)
    await shop.execute("UPDATE teams SET completed_at = $1, opened_at = $1", NOW - 4000 * DAY)
    await shop.execute("UPDATE orders SET locked_at = $1, payment_reported_at = $1", NOW - 4000 * DAY)
    await shop.execute("UPDATE events SET occurred_at = $1", NOW - 4000 * DAY)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(main, [*arguments, "--database-url", server.database_url])
        assert result.exit_code == 0, result.output
        return result.output

    counted = await asyncio.to_thread(run, "retention", "--days", "1000")
    assert counted == "older than 1000 days: 1 team(s), 3 order(s), 1 event(s) would be removed (--apply does it)\n"
    erase = ("admin", "erase-user", "--source", SOURCE, "--user-id", first.request.user_id, "--reason", "ticket 7")
    assert (await asyncio.to_thread(run, *erase)).startswith(
        f"a user of {SOURCE}: 1 order(s), 0 archived team(s), 1 quota(s), 0 audience(s): now erased-"
    )
    applied = await asyncio.to_thread(run, "retention", "--days", "1000", "--archive", "--apply")
    assert applied == "older than 1000 days: 1 team(s), 3 order(s), 1 event(s) archived\n"
    assert (await rows(shop))["orders"] == 0
    assert await shop.value("SELECT team_id FROM archived_teams") == first.team_id
