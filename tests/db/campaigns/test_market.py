"""The market: teams a buyer can join, and the statistics."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from db.campaigns.funnel import read_funnel
from db.campaigns.market import TEAMS, TEAMS_FOR_ALL, MarketView, count_statistics, teams_for, teams_for_all
from db.core.connection import Database, connection
from domain.lifecycle import TeamDecision
from domain.schemas.campaigns import Campaign
from domain.schemas.market import MarketTeam, Statistics
from tests.db.conftest import Server
from tests.db.shop import DEADLINE, NOW, SOURCE, Shop

BUYER = "buyer-1"
MANY = 20_000


async def teams(
    shop: Shop,
    campaign: Campaign,
    *,
    user: str = BUYER,
    limit: int = 20,
    sees_others: bool = True,
    **when: Any,  # noqa: ANN401
) -> list[MarketTeam]:
    view, now = MarketView(SOURCE, campaign.campaign_id, campaign.goods[0].goods_id, limit), when.get("now", NOW)
    async with connection(shop.database) as conn:
        for_buyer = await teams_for(conn, view, now, user, sees_others=sees_others)
        for_stranger = await teams_for(conn, view, now, "stranger", sees_others=True)
        assert await teams_for_all(conn, [view], now) == [for_stranger], "who has no seat sees what everybody sees"
    return for_buyer


async def test_order_is_own_teams_then_missing_payments_then_deadline(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=4, take_limit=5)
    (late,) = await shop.team(campaign)
    half, *_ = await shop.team(campaign, locked=0, paid=2)
    (soon,) = await shop.team(campaign)
    await shop.execute("UPDATE teams SET deadline = deadline - interval '1 hour' WHERE team_id = $1", soon.team_id)
    nearly, *_ = await shop.team(campaign, locked=0, paid=3)
    own = shop.opener(campaign, user=BUYER)
    await shop.lock(own)

    found = await teams(shop, campaign)

    assert [team.team_id for team in found] == [each.team_id for each in (own, nearly, half, soon, late)]
    assert [(team.mine, team.seats_left, team.complete_count) for team in found] == [
        (True, 3, 0),
        (False, 1, 3),
        (False, 2, 2),
        (False, 3, 0),
        (False, 3, 0),
    ]
    assert await teams(shop, campaign, limit=2) == found[:2]
    assert await teams(shop, campaign, sees_others=False) == found[:1]


async def test_several_views_are_read_in_one_statement(shop: Shop) -> None:
    campaign, other, empty = await shop.campaign(), await shop.campaign(), await shop.campaign()
    opened = [(await shop.team(each))[0].team_id for each in (campaign, campaign, other)]
    views = [MarketView(SOURCE, each.campaign_id, each.goods[0].goods_id, 20) for each in (other, empty, campaign, other)]
    first_only = replace(views[2], limit=1)

    async with connection(shop.database) as conn:
        found = await teams_for_all(conn, [*views, first_only], NOW)

    listed = [[team.team_id for team in teams] for teams in found]
    assert [sorted(team_ids) for team_ids in listed[:4]] == [opened[2:], [], sorted(opened[:2]), opened[2:]]
    assert listed[4] == listed[2][:1]


async def test_own_team_is_listed_once_and_other_users_are_masked(shop: Shop) -> None:
    campaign = await shop.campaign()
    opener = shop.opener(campaign, user="someone-2")
    await shop.lock(opener)
    await shop.lock(shop.joiner(opener, user=BUYER))

    (team,) = await teams(shop, campaign)
    assert (team.mine, team.lock_count, team.seats_left) == (True, 2, 1)
    assert [member.user_id for member in team.members] == ["s***2", BUYER]

    (for_another_user,) = await teams(shop, campaign, user="x")
    assert [member.user_id for member in for_another_user.members] == ["s***2", "b***1"]
    assert not for_another_user.mine


async def test_full_ended_and_other_campaigns_teams_are_not_listed(shop: Shop) -> None:
    campaign, other = await shop.campaign(target_count=2, min_count=1, take_limit=9), await shop.campaign()
    await shop.team(campaign, locked=2)  # full
    await shop.team(campaign, locked=0, paid=2)  # complete
    (closed,) = await shop.team(campaign)
    await shop.conclude(closed, TeamDecision.CLOSE)
    own = shop.opener(campaign, user=BUYER)
    await shop.lock(own)
    await shop.lock(shop.joiner(own))  # full, and the buyer's own
    await shop.team(other)
    assert await teams(shop, campaign) == []

    released, leaver = await shop.team(campaign, locked=2)
    await shop.refund(leaver)
    assert [team.team_id for team in await teams(shop, campaign)] == [released.team_id]
    assert await teams(shop, campaign, now=DEADLINE) == []


async def test_a_team_the_buyer_left_is_not_an_own_team(shop: Shop) -> None:
    campaign = await shop.campaign()
    (opener,) = await shop.team(campaign)
    mine = shop.joiner(opener, user=BUYER)
    await shop.lock(mine)
    await shop.refund(mine)

    (team,) = await teams(shop, campaign)

    assert (team.mine, len(team.members)) == (False, 1)


async def statistics(shop: Shop, campaign: Campaign) -> Statistics:
    (counted,) = await count_statistics(shop.database, [(SOURCE, campaign.campaign_id)])
    return counted


async def test_statistics_are_not_lowered_by_refunds(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=2, take_limit=5)
    assert await statistics(shop, campaign) == Statistics(team_count=0, completed_team_count=0, user_count=0)
    first, second = await shop.team(campaign, locked=0, paid=2)
    again = shop.opener(campaign, user=first.request.user_id)
    await shop.lock(again)
    before = await statistics(shop, campaign)
    assert before == Statistics(team_count=2, completed_team_count=1, user_count=2)

    await shop.refund(again)
    for member in (first, second):
        await shop.refund(member)
    await shop.release(again, NOW + timedelta(days=1))

    assert await statistics(shop, campaign) == before


async def test_joinable_teams_are_found_by_their_index(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=3)
    (opener,) = await shop.team(campaign)
    await shop.execute(
        """
        INSERT INTO teams SELECT (jsonb_populate_record(t, jsonb_build_object('team_id', 'seeded-' || n,
          'campaign_id', n % 10, 'status', CASE WHEN n % 5 = 0 THEN 'forming' ELSE 'failed' END,
          'failed_at', CASE WHEN n % 5 > 0 THEN t.opened_at END))).*
          FROM teams t, generate_series(1, 3000) n
        """
    )
    try:
        await shop.execute("ANALYZE teams")
        what = (SOURCE, campaign.campaign_id, opener.request.goods_id)
        for_all = ([SOURCE], [campaign.campaign_id], [opener.request.goods_id], NOW, [20])
        for sql, values in ((TEAMS_FOR_ALL, for_all), (TEAMS, (*what, NOW, 20, 20, BUYER))):
            plan = "\n".join(row[0] for row in await shop.rows(f"EXPLAIN {sql}", *values))
            assert "teams_joinable_idx" in plan
            assert "Seq Scan on teams" not in plan
    finally:
        await shop.execute("DELETE FROM teams WHERE team_id LIKE 'seeded-%'")


async def test_no_index_of_teams_contains_lock_count(shop: Shop) -> None:
    """An update of a column in an index's columns or condition is not heap-only."""
    sql = "SELECT indexdef FROM pg_indexes WHERE tablename = 'teams' AND indexdef LIKE '%lock_count%'"
    assert await shop.rows(sql) == []


async def test_a_small_campaign_is_counted_without_reading_a_large_one(shop: Shop, server: Server) -> None:
    small, large = (await shop.campaign()).campaign_id, (await shop.campaign()).campaign_id
    await shop.execute(
        "INSERT INTO user_quotas (campaign_id, source, user_id, live) SELECT $1, $2, n::text, 0 FROM generate_series(1, $3) n",
        large,
        SOURCE,
        MANY,
    )
    await shop.execute("ANALYZE user_quotas")
    one_connection = Database(server.database_url, size=1)

    async def read_in_scans() -> int:
        async with connection(one_connection) as conn:
            await conn.execute("SELECT pg_stat_force_next_flush()")
            return int(await conn.fetchval("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'user_quotas'"))

    try:
        before = await read_in_scans()
        counted = await count_statistics(one_connection, [(SOURCE, large), (SOURCE, small)])
        assert [each.user_count for each in counted] == [MANY, 0]
        assert counted[1] == Statistics(team_count=0, completed_team_count=0, user_count=0)
        await read_funnel(one_connection, small)
        assert await read_in_scans() == before
        async with connection(one_connection) as conn:
            await conn.fetchval("SELECT count(live) FROM user_quotas")
        assert await read_in_scans() >= before + MANY, "a scan is seen"
    finally:
        await one_connection.close()
