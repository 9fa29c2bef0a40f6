"""Campaign shutdowns: which teams they close, how progress is counted, and races with buyers."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from db.campaigns.shutdown import (
    any_unfinished,
    begin_shutdown,
    closing_shutdowns,
    forming_teams,
    measure_shutdown,
    preview_shutdown,
    read_shutdown,
)
from db.campaigns.store import change_campaign, read_campaign
from db.campaigns.versions import read_version
from db.core.connection import transaction
from db.settings.audit import ChangeFilter, list_changes
from domain.errors import ConfirmationRequired, ErrorCode, Refusal
from domain.lifecycle import CampaignStatus, TeamDecision
from domain.messages.acts import command_line_author as author
from domain.messages.campaigns import BeginShutdown, CloseTeams, ReadShutdown, ShutdownState
from domain.messages.orders import HeldSeat
from domain.schemas.campaign_shutdown import ShutdownProgress, ShutdownStatus
from domain.schemas.campaigns import Campaign
from tests.db.shop import NOW, PAY_PRICE, SOURCE, Member, Shop

LATER = NOW + timedelta(minutes=1)


@dataclass(frozen=True)
class Shutdown:
    shop: Shop
    campaign: Campaign

    async def begin(self, by: str = "ann") -> None:
        request = BeginShutdown(campaign_id=self.campaign.campaign_id, author=author(by), reason="sold out", now=NOW)
        await begin_shutdown(self.shop.database, request)

    async def forming(self, after: str = "", limit: int = 100) -> list[str]:
        request = CloseTeams(campaign_id=self.campaign.campaign_id, now=NOW)
        return await forming_teams(self.shop.database, request, after, limit)

    async def measure(self) -> ShutdownState:
        return await measure_shutdown(self.shop.database, ReadShutdown(campaign_id=self.campaign.campaign_id, now=LATER))

    async def read(self) -> ShutdownProgress:
        found = await read_shutdown(self.shop.database, self.campaign.campaign_id)
        assert found is not None
        return found

    async def status(self) -> CampaignStatus:
        found = await read_campaign(self.shop.database, self.campaign.campaign_id)
        assert found is not None
        return found.status


def counts(state: ShutdownState) -> tuple[int, int, int, int, int]:
    return (state.teams_total, state.teams_done, state.teams_completed, state.refunds_total, state.refunds_done)


async def test_a_shutdown_is_previewed_begun_once_and_measured_until_done(shop: Shop) -> None:
    shutdown = Shutdown(shop, campaign := await shop.campaign())
    paid_team = await shop.team(campaign, locked=0, paid=2)
    unpaid = await shop.team(campaign, locked=1)
    abandoned = await shop.team(campaign, locked=1)
    await shop.release(abandoned[0])
    await shop.team(campaign, locked=0, paid=3)  # completed: not affected
    other = await shop.team(await shop.campaign(), paid=1)  # of another campaign

    preview = await preview_shutdown(shop.database, campaign.campaign_id)
    assert (preview.teams, preview.orders, preview.unpaid_orders, preview.paid_orders) == (2, 3, 1, 2)
    assert (preview.amount, preview.completed_teams) == (2 * PAY_PRICE, 1)
    assert await read_shutdown(shop.database, campaign.campaign_id) is None

    await shutdown.begin()
    await shutdown.begin(by="bob")
    assert await shutdown.status() is CampaignStatus.ENDED
    version = await read_version(shop.database, campaign.campaign_id, 2)
    assert version is not None
    assert (version.changed_by, version.campaign.status) == ("ann", "ended")
    assert await read_version(shop.database, campaign.campaign_id, 3) is None
    [change] = await list_changes(shop.database, ChangeFilter(subject=f"ending/{campaign.campaign_id}"), None, 10)
    assert (change.changed_by, change.changed_at) == ("ann", NOW)
    assert change.content == {"campaign_id": campaign.campaign_id, "reason": "sold out"}
    teams = sorted([paid_team[0].team_id, unpaid[0].team_id])
    assert await shutdown.forming() == teams
    assert await shutdown.forming(limit=1) == teams[:1]
    assert await shutdown.forming(after=teams[0]) == teams[1:]
    closing = await closing_shutdowns(shop.database)
    assert counts(await shutdown.measure()) == (2, 0, 0, 2, 0)

    for team in (paid_team, unpaid):
        await shop.conclude(team[0], TeamDecision.CLOSE)
    assert await closing_shutdowns(shop.database) == closing - 1
    assert not await any_unfinished(shop.database, [unpaid[0].team_id])
    assert await any_unfinished(shop.database, [other[0].team_id])
    await shop.refund(paid_team[0])
    await shop.finish(paid_team[0])
    assert await any_unfinished(shop.database, teams)
    await shop.refund(paid_team[1], reason="requested by the buyer")
    assert not await any_unfinished(shop.database, teams)
    assert counts(await shutdown.measure()) == (2, 2, 0, 2, 1)
    running = await shutdown.read()
    assert (running.status, running.amount_total, running.amount_returned) == (ShutdownStatus.RUNNING, 2 * PAY_PRICE, PAY_PRICE)
    assert (running.begun_by, running.reason, running.finished_at) == ("ann", "sold out", None)

    await shop.finish(paid_team[1])
    assert (await shutdown.measure()).finished
    done = await shutdown.read()
    assert (done.status, done.amount_returned, done.finished_at) == (ShutdownStatus.DONE, 2 * PAY_PRICE, LATER)
    assert (await shutdown.measure()).finished


async def test_refunds_finished_before_the_shutdown_do_not_count_and_late_payments_do(shop: Shop) -> None:
    shutdown = Shutdown(shop, campaign := await shop.campaign())
    members = await shop.team(campaign, paid=2, locked=1)
    await shop.refund(members[0], now=NOW - timedelta(hours=1))
    await shop.execute("UPDATE refunds SET checked_at = $1", NOW)
    await shop.finish(members[0])
    await shop.execute("UPDATE refunds SET finished_at = $1", NOW - timedelta(seconds=1))

    await shutdown.begin()
    assert counts(await shutdown.measure()) == (1, 0, 0, 1, 0)
    await shop.conclude(members[1], TeamDecision.CLOSE)
    await shop.settle(members[2])  # the order is cancelled: a late payment
    assert counts(await shutdown.measure()) == (1, 1, 0, 2, 0)
    await shop.refund(members[1])
    for member in members[1:]:
        await shop.finish(member)
    assert (await shutdown.measure()).finished


async def test_a_team_that_completes_during_the_shutdown_is_not_refunded(shop: Shop) -> None:
    shutdown = Shutdown(shop, campaign := await shop.campaign())
    members = await shop.team(campaign, paid=2, locked=1)
    await shutdown.begin()
    await shop.settle(members[2])
    await shop.refund(members[0])  # from the completed team: not part of the shutdown

    state = await shutdown.measure()

    assert counts(state) == (1, 1, 1, 0, 0)
    assert (state.finished, state.amount_total) == (True, Decimal())
    assert (await shop.conclude(members[0], TeamDecision.CLOSE)).team.status == "completed_with_refunds"


async def test_an_ended_campaign_cannot_be_reactivated(shop: Shop) -> None:
    shutdown = Shutdown(shop, campaign := await shop.campaign())
    await change_campaign(shop.database, campaign.campaign_id, {"status": "ended"}, by=author("ann"), now=NOW)

    for status in ("active", "draft", "paused", "draining"):
        with pytest.raises(Refusal) as refused:
            await change_campaign(
                shop.database, campaign.campaign_id, {"status": status}, by=author("ann"), now=NOW, confirmed=True
            )
        assert refused.value.code is ErrorCode.CAMPAIGN_CONFLICT
    await shutdown.begin()
    assert (await shutdown.measure()).finished
    assert await read_version(shop.database, campaign.campaign_id, 3) is None
    assert len(await list_changes(shop.database, ChangeFilter(subject=f"ending/{campaign.campaign_id}"), None, 10)) == 1


async def test_a_team_opened_during_the_shutdown_is_either_part_of_it_or_refused(shop: Shop) -> None:
    refused = taken = 0
    for _ in range(25):
        shutdown = Shutdown(shop, campaign := await shop.campaign(stock=100, take_limit=5))
        present = await shop.team(campaign, locked=0, paid=1)
        openers = [shop.opener(campaign) for _ in range(6)]
        joiner = shop.joiner(present[0])

        async def lock(member: Member) -> Any:  # noqa: ANN401
            return await shop.retried(lambda: shop.try_lock(member))

        async def begin(shutdown: Shutdown = shutdown) -> None:
            await shop.retried(shutdown.begin)

        answers = await shop.race(begin(), begin(), lock(joiner), *(lock(member) for member in openers))

        opened = [
            member.team_id for member, answer in zip(openers, answers[3:], strict=True) if not isinstance(answer, ErrorCode)
        ]
        assert {answer for answer in answers[2:] if isinstance(answer, ErrorCode)} <= {ErrorCode.CAMPAIGN_INACTIVE}
        assert await shutdown.forming() == sorted([present[0].team_id, *opened])
        assert await shop.try_lock(shop.opener(campaign)) is ErrorCode.CAMPAIGN_INACTIVE
        refused, taken = refused + 6 - len(opened), taken + len(opened)
    assert shop.deadlocks == 0
    assert refused, "no race was lost"
    assert taken, "no race was won"


async def test_a_lock_that_read_the_campaign_before_it_ended_is_refused(shop: Shop) -> None:
    """The statement that takes the seat checks the campaign's status again."""
    shutdown = Shutdown(shop, campaign := await shop.campaign())
    late = shop.opener(campaign)
    async with transaction(shop.database) as blocker:
        await blocker.execute("LOCK TABLE teams IN SHARE MODE")  # between its read and its write
        locking = asyncio.ensure_future(shop.try_lock(late))
        await shop.until_waiting(1)
        await shutdown.begin()
    assert await locking is ErrorCode.CAMPAIGN_INACTIVE
    assert await shutdown.forming() == []


async def test_a_shutdown_waits_for_no_team_and_keeps_no_buyer_waiting_behind_a_stalled_one(shop: Shop) -> None:
    shutdown = Shutdown(shop, campaign := await shop.campaign())
    held, stalled = await shop.team(campaign, locked=2), await shop.team(await shop.campaign(), locked=1)
    elsewhere = shop.opener(await shop.campaign())
    async with transaction(shop.database) as holder, asyncio.timeout(10):
        await holder.execute("SELECT FROM teams WHERE team_id = $1 FOR UPDATE", held[0].team_id)
        async with transaction(shop.database) as blocker:
            # In the middle of a seat change, and its process has stopped.
            await blocker.execute("UPDATE user_quotas SET live = live WHERE user_id = $1", stalled[0].request.user_id)
            beginning = asyncio.ensure_future(shutdown.begin())
            await shop.until_waiting(1)
            assert isinstance(await shop.try_lock(elsewhere), HeldSeat)
            with pytest.raises(asyncpg.LockNotAvailableError):  # which its workflow retries
                await beginning
            assert await shutdown.status() is CampaignStatus.ACTIVE
        await shutdown.begin()
    assert await shutdown.forming() == [held[0].team_id]


async def test_a_change_that_needs_confirmation_stores_nothing(shop: Shop) -> None:
    campaign = await shop.campaign()
    changes = {"name": "Over", "ends_at": NOW - timedelta(seconds=1)}

    with pytest.raises(ConfirmationRequired) as refused:
        await change_campaign(shop.database, campaign.campaign_id, changes, by=author("ann"), now=NOW)

    assert [risk.field for risk in refused.value.risks] == ["ends_at"]
    assert await read_campaign(shop.database, campaign.campaign_id) == campaign
    assert await read_version(shop.database, campaign.campaign_id, 2) is None
    changed = await change_campaign(shop.database, campaign.campaign_id, changes, by=author("ann"), now=NOW, confirmed=True)
    assert (changed.version, changed.goods[0].source) == (2, SOURCE)
