"""One item that reconciliation cannot do is shown in attention, and stops no other; it is tried again with backoff."""

from datetime import timedelta
from typing import Any

from temporalio.testing import ActivityEnvironment

from activities.reconciliation import ReconciliationActivities
from db.attention import list_attention
from db.core.connection import transaction
from db.core.invariants import Horizons
from db.reconciliation.conditions import LATE_BY
from db.reconciliation.refunds import unfinished_refunds
from domain.lifecycle import MallAnswer, TeamDecision
from domain.messages.reconciliation import Reconcile
from domain.messages.refunds import RefundInput
from tests.db.shop import NOW, OVERDUE, SHOP_ADDRESS, Shop

LATE = OVERDUE + timedelta(minutes=3)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


class Temporal:
    """Answers for the workflows of these tests: all of them run, but for those that are named here."""

    def __init__(self) -> None:
        self.refunds: dict[str, str | Exception | None] = {}
        """how the latest run of a refund's workflow ended, by out_trade_no"""
        self.teams: dict[str, str] = {}
        self.asked: list[str] = []

    async def restart_refund(self, refund: RefundInput) -> str | None:
        self.asked.append(refund.out_trade_no)
        end = self.refunds.get(refund.out_trade_no)
        if isinstance(end, Exception):
            raise end
        return end

    async def how_team_ended(self, team_id: str) -> str | None:
        self.asked.append(team_id)
        return self.teams.get(team_id)


def activities(shop: Shop, temporal: Temporal) -> ReconciliationActivities:
    return ReconciliationActivities(shop.database, temporal.restart_refund, temporal.how_team_ended, Horizons())


async def run(activity: Any, now: Any, **fields: Any) -> Any:  # noqa: ANN401
    return await ActivityEnvironment().run(activity, Reconcile(now=now, **fields))


async def in_attention(shop: Shop) -> list[tuple[str, str]]:
    return [(item.kind, item.subject) for item in await list_attention(shop.database, None, 9)]


async def test_a_team_that_cannot_be_released_stops_no_other(shop: Shop) -> None:
    campaign = await shop.campaign()
    broken, other = [(await shop.team(campaign))[0] for _ in range(2)]
    await shop.execute("UPDATE user_quotas SET live = 0 WHERE user_id = $1", broken.request.user_id)
    conclude = activities(shop, Temporal()).conclude_overdue_teams

    first = await run(conclude, LATE)

    assert (first.count, first.failed, first.team_ids) == (2, 1, [other.team_id])
    assert (await shop.team_row(other))["status"] == "failed"
    [attention] = await list_attention(shop.database, None, 9)
    assert (attention.kind, attention.subject, attention.team_id) == ("team", broken.team_id, broken.team_id)
    assert "user_quotas_live_check" in attention.detail
    assert attention.workflow is not None

    # It is tried again after a minute, then after two: and last, whatever else is overdue.
    assert (await run(conclude, LATE + 59 * SECOND)).count == 0
    assert (await run(conclude, LATE + MINUTE)).failed == 1
    assert (await run(conclude, LATE + 3 * MINUTE - SECOND)).count == 0
    await shop.execute("UPDATE user_quotas SET live = 1 WHERE user_id = $1", broken.request.user_id)
    assert (await run(conclude, LATE + 3 * MINUTE)).team_ids == [broken.team_id]
    assert await in_attention(shop) == []


async def test_a_team_that_is_locked_for_long_is_passed_over(shop: Shop, monkeypatch: Any) -> None:  # noqa: ANN401
    monkeypatch.setattr("activities.reconciliation.WITHIN", 0.3)
    stuck, other = [(await shop.team(await shop.campaign()))[0] for _ in range(2)]
    conclude = activities(shop, Temporal()).conclude_overdue_teams
    async with transaction(shop.database) as conn:
        await conn.execute("SELECT FROM teams WHERE team_id = $1 FOR UPDATE", stuck.team_id)
        assert (await run(conclude, LATE)).team_ids == [other.team_id]
    assert await in_attention(shop) == [("team", stuck.team_id)]
    # Its own workflow released it: it leaves attention, although it is not tried again yet.
    await shop.release(stuck)
    assert (await run(conclude, LATE)).count == 0
    assert await in_attention(shop) == []


async def test_a_refund_that_cannot_be_started_stops_no_other(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=4)
    members = await shop.team(campaign, paid=3, locked=0)
    await shop.conclude(members[0], TeamDecision.CLOSE, NOW)
    refused, failed, healthy = sorted(members, key=lambda member: member.number)
    temporal = Temporal()
    temporal.refunds = {refused.number: ValueError("an id that is too long"), failed.number: "failed: BrokenInvariant"}
    start = activities(shop, temporal).start_unattended_refunds

    assert (await run(start, NOW + LATE_BY)).count == 0
    assert (await run(start, NOW + LATE_BY, team_ids=[refused.team_id])).failed == 2

    assert sorted(temporal.asked) == [member.number for member in (refused, failed, healthy)]
    details = {item.subject: item.detail for item in await list_attention(shop.database, None, 9)}
    assert details.keys() == {refused.order_id, failed.order_id}
    assert "not started: ValueError: an id that is too long" in details[refused.order_id]
    assert "failed: BrokenInvariant; started again" in details[failed.order_id]

    temporal.asked, temporal.refunds = [], {}
    await run(start, NOW + LATE_BY + 59 * SECOND)
    assert temporal.asked == [healthy.number]
    await run(start, NOW + LATE_BY + MINUTE)
    assert await in_attention(shop) == []


async def test_an_unfinished_refund_is_looked_at_once_per_interval(shop: Shop) -> None:
    member, *_ = await shop.team(await shop.campaign(), paid=3, locked=0, callback=SHOP_ADDRESS)
    await shop.refund(member)
    later = NOW + 5 * MINUTE
    [left] = await unfinished_refunds(shop.database, later, 10)
    assert (left.source, left.out_trade_no, left.attempt) == ("s01", member.number, 1)
    assert await unfinished_refunds(shop.database, later, 10) == []
    temporal = Temporal()
    temporal.refunds = {member.number: "terminated"}
    start = activities(shop, temporal).start_unattended_refunds
    assert (await run(start, later + 5 * MINUTE)).failed == 1
    # Meanwhile it has ended: nothing is wrong with it any more.
    await shop.answer(member, MallAnswer.VETOED)
    await run(start, later + timedelta(days=1))
    assert await in_attention(shop) == []


async def test_live_teams_without_a_workflow_are_found_in_turn(shop: Shop, monkeypatch: Any) -> None:  # noqa: ANN401
    monkeypatch.setattr("activities.reconciliation.WORKFLOWS", 2)
    campaign = await shop.campaign(target_count=2, refund_window=3600)
    forming = [(await shop.team(campaign))[0] for _ in range(3)]
    completed, over = [(await shop.team(campaign, locked=0, paid=2))[0] for _ in range(2)]
    await shop.conclude((await shop.team(campaign))[0], TeamDecision.CLOSE, NOW)
    await shop.execute("UPDATE teams SET completed_at = $2 WHERE team_id = $1", over.team_id, NOW - timedelta(minutes=56))
    temporal = Temporal()
    temporal.teams = {forming[1].team_id: "terminated: by mistake", completed.team_id: "", over.team_id: "completed"}
    find = activities(shop, temporal).find_missing_workflows

    for minute in range(3):
        await run(find, NOW + minute * MINUTE)

    # In two runs all four that are live, by what is left of their lives; then from the beginning.
    live = [completed.team_id, *(member.team_id for member in forming)]
    assert set(temporal.asked) == set(live)
    assert temporal.asked.count(forming[0].team_id) < 3
    details = {item.subject: item.detail for item in await list_attention(shop.database, None, 9)}
    assert details.keys() == {forming[1].team_id, completed.team_id}
    assert "terminated: by mistake" in details[forming[1].team_id]
    assert "Temporal knows no run" in details[completed.team_id]

    # One runs again, of the other nothing is left to do.
    temporal.teams = {completed.team_id: ""}
    await run(find, NOW + timedelta(hours=1))
    assert await in_attention(shop) == []
