"""The check of the invariants in a limited time, and by reconciliation, which checks all teams in turn."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from db.attention import list_attention
from db.core.connection import Database
from db.core.invariants import Horizons
from db.reconciliation.invariants import check_invariants, runs_between_counts
from domain.messages.reconciliation import Reconcile, Reconciled
from domain.schemas.invariants import InvariantCheck
from tests.db.reconciliation.test_isolation import Temporal, activities
from tests.db.shop import NOW, Member, Shop

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def broken_shop(database: Database) -> Shop:
    """A shop whose invariants are not checked after the test."""
    shop = Shop(database)
    await shop.open()
    return shop


async def four_teams(shop: Shop) -> list[Member]:
    campaign = await shop.campaign(stock=50)
    teams = []
    for minute in range(4):
        teams.append(shop.opener(campaign))
        await shop.lock(teams[-1], NOW + minute * MINUTE)
    return teams


async def check(shop: Shop, within: float) -> InvariantCheck:
    return await check_invariants(shop.database, NOW + 9 * MINUTE, Horizons(), timedelta(seconds=within))


async def found(shop: Shop) -> list[str]:
    return [row["subject"] for row in await shop.rows("SELECT subject FROM reconciliation_findings")]


@asynccontextmanager
async def estimated(shop: Shop, orders: int) -> AsyncIterator[None]:
    """What PostgreSQL's statistics say of the table."""
    estimate = "UPDATE pg_class SET reltuples = $1 WHERE oid = 'orders'::regclass"
    await shop.execute(estimate, orders)
    try:
        yield
    finally:
        await shop.execute(estimate, -1)


async def reconcile(shop: Shop, now: datetime) -> Reconciled:
    activity: Any = activities(shop, Temporal()).check_invariants
    answer: Reconciled = await ActivityEnvironment().run(activity, Reconcile(now=now))
    return answer


async def test_operators_get_an_answer_in_the_time_they_give(broken_shop: Shop) -> None:
    await four_teams(broken_shop)
    all_hold = InvariantCheck(violations=[], complete=True, opened_since=None, others_since=None)
    assert await check(broken_shop, 9) == all_hold
    await broken_shop.execute("UPDATE campaign_stock SET live = live + 1; UPDATE user_quotas SET live = live + 1")

    everything = await check(broken_shop, 9)
    nothing = await check(broken_shop, 0)

    assert everything.complete
    assert {violation.subject.split()[0] for violation in everything.violations} == {"stock", "user"}
    assert nothing == all_hold.model_copy(update={"complete": False, "opened_since": NOW + 9 * MINUTE})
    # What the teams of a campaign share is in the answer also where reconciliation alone has the time to check it.
    await reconcile(broken_shop, NOW + 10 * MINUTE)
    reported = await check(broken_shop, 0)
    assert {violation.subject.split(" of ")[0] for violation in reported.violations} == {"stock", "user quotas"}
    assert reported.others_since == NOW + 10 * MINUTE


async def test_all_orders_are_counted_the_more_rarely_the_more_there_are(broken_shop: Shop) -> None:
    assert [runs_between_counts(orders) for orders in (-1, 0, 500_000, 500_001, 10_000_000)] == [1, 1, 1, 2, 20]
    await four_teams(broken_shop)
    await broken_shop.execute("UPDATE campaign_stock SET live = live + 1")
    async with estimated(broken_shop, 10_000_000):
        twentieth = datetime.fromtimestamp(NOW.timestamp() // 1200 * 1200, UTC)
        assert (await reconcile(broken_shop, twentieth - MINUTE)).failed == 0
        assert (await reconcile(broken_shop, twentieth)).failed == 1
        await broken_shop.execute("UPDATE campaign_stock SET live = live - 1")
        await reconcile(broken_shop, twentieth + MINUTE)
        assert len(await found(broken_shop)) == 1
        await reconcile(broken_shop, twentieth + 20 * MINUTE)
        assert await found(broken_shop) == []


async def test_reconciliation_checks_all_teams_in_turn(broken_shop: Shop, monkeypatch: Any) -> None:  # noqa: ANN401
    """Two in a run, and those in which something is wrong in every run."""
    monkeypatch.setattr("db.core.invariants.SLICE", 1)
    monkeypatch.setattr("db.reconciliation.invariants.SLICES", 2)
    teams = await four_teams(broken_shop)
    broken = teams[3].team_id
    await broken_shop.execute("UPDATE teams SET lock_count = 2 WHERE team_id = $1", broken)

    assert (await reconcile(broken_shop, NOW)).failed == 0
    assert (await reconcile(broken_shop, NOW + MINUTE)).failed == 1
    [attention] = await list_attention(broken_shop.database, None, 9)
    assert (attention.kind, attention.subject, attention.team_id) == ("invariant", broken, broken)
    assert f"invariant 2: team {broken}: counts 0/2, rows 0/1" in attention.detail

    assert (await reconcile(broken_shop, NOW + 2 * MINUTE)).failed == 1
    await broken_shop.execute("UPDATE teams SET lock_count = 1 WHERE team_id = $1", broken)
    assert (await reconcile(broken_shop, NOW + 2 * MINUTE)).failed == 0
    assert await list_attention(broken_shop.database, None, 9) == []


async def test_a_slice_that_cannot_be_checked_holds_up_no_other(broken_shop: Shop, monkeypatch: Any) -> None:  # noqa: ANN401
    monkeypatch.setattr("db.core.invariants.SLICE", 1)
    teams = await four_teams(broken_shop)
    team_ids = [member.team_id for member in teams]
    # No list of orders: the function cannot read it.
    await broken_shop.execute(
        "INSERT INTO events (event_id, source, type, team_id, data, occurred_at)"
        """ VALUES ('evt_x', 's01', 'team.completed', $1, '{"out_trade_nos": 1}', $2)""",
        *(team_ids[1], NOW),
    )
    await broken_shop.execute("UPDATE teams SET lock_count = 2 WHERE team_id = $1", team_ids[3])

    await reconcile(broken_shop, NOW)

    details = {item.subject: item.detail for item in await list_attention(broken_shop.database, None, 9)}
    assert details.keys() == {team_ids[1], team_ids[3]}
    assert "not checked: " in details[team_ids[1]]
