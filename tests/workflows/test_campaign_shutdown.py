"""A campaign that ends with its teams, on a server that skips time."""

from dataclasses import replace

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

import activities.campaigns
from db.campaigns.shutdown import read_shutdown
from db.campaigns.store import read_campaign
from db.core.connection import Database
from db.core.invariants import violations
from db.settings.audit import ChangeFilter, list_changes
from db.teams.queries import read_team
from domain.ids import shutdown_workflow_id
from domain.lifecycle import TeamStatus
from domain.messages.campaigns import ShutdownInput
from domain.schemas.campaign_shutdown import ShutdownProgress, ShutdownStatus
from tests.workflows.play import Play, publish, working
from workflows.campaign_shutdown import CampaignShutdownWorkflow
from workflows.starters import start_campaign_shutdown


async def team(play: Play, *, members: int, paid: int) -> Play:
    """Another team of the same campaign."""
    own = replace(play, name=f"{play.name}-{members}{paid}")
    await own.open()
    for buyer in range(2, members + 1):
        await own.join(buyer)
    for buyer in range(1, paid + 1):
        await own.pay(buyer)
    return own


async def end(client: Client, campaign_id: int) -> WorkflowHandle[CampaignShutdownWorkflow, str]:
    await start_campaign_shutdown(client, ShutdownInput(campaign_id=campaign_id, operator="ann", reason="sold out"))
    return client.get_workflow_handle_for(CampaignShutdownWorkflow.run, shutdown_workflow_id(campaign_id))


async def progress(database: Database, campaign_id: int) -> ShutdownProgress:
    found = await read_shutdown(database, campaign_id)
    assert found is not None
    return found


async def status(database: Database, play: Play) -> TeamStatus:
    found = await read_team(database, None, play.team)
    assert found is not None
    return found.status


async def test_every_forming_team_is_closed_and_paid_back(time: WorkflowEnvironment, database: Database) -> None:
    campaign, campaign_id, goods_id = await publish(database)
    async with working(time.client, database) as queue:
        first = Play(time.client, queue, campaign, campaign_id, goods_id)
        complete, half, unpaid, orphan = [
            await team(first, members=members, paid=paid) for members, paid in ((3, 3), (3, 2), (1, 0), (2, 2))
        ]
        await orphan.handle.terminate()

        ending = await end(time.client, campaign_id)

        assert await ending.result() == "3 team(s) decided, 0 of them completed; 4 refund(s), 320.00 returned"
        found = await read_campaign(database, campaign_id)
        assert found is not None
        assert (found.status, found.version) == ("ended", 2)
        done = await progress(database, campaign_id)
        assert (done.status, done.begun_by, done.refunds_done) == (ShutdownStatus.DONE, "ann", 4)
        for ended in (half, unpaid, orphan):
            assert await status(database, ended) is TeamStatus.FAILED
            assert await audit(database, ended) == [("close", "ann", f"campaign {campaign_id} ends: sold out", True)]
        assert await audit(database, complete) == []
        assert await status(database, complete) is TeamStatus.COMPLETED
        assert await half.handle.result() == "failed"
        shown = await ending.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
        assert "| teams | 3 | 3 | 0 completed before they were closed |" in shown.current_details
        assert "by ann (`sold out`): done." in shown.current_details

        again = await end(time.client, campaign_id)
        assert await again.result() == await ending.result()
    assert await violations(database) == []


async def audit(database: Database, of: Play) -> list[tuple[str, str, str | None, bool]]:
    """Who ended a team, and why."""
    changes = await list_changes(database, ChangeFilter(subject=f"team/{of.team}"), None, 9)
    return [(change.action, change.changed_by, change.reason, change.changed) for change in changes]


async def test_teams_whose_workflows_do_not_listen_are_closed_by_their_rows(
    time: WorkflowEnvironment, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activities.campaigns, "CHECKS", 0)
    monkeypatch.setattr(activities.campaigns, "BATCH", 1)
    monkeypatch.setattr(activities.campaigns, "TEAMS_PER_CALL", 1)
    campaign, campaign_id, goods_id = await publish(database)
    async with working(time.client, database) as queue:
        deaf = Play(time.client, queue, campaign, campaign_id, goods_id)
        teams = [await team(deaf, members=2, paid=paid) for paid in (0, 1, 2)]
    async with working(time.client, database):  # nobody serves the teams' queue any more
        ending = await end(time.client, campaign_id)
        assert await ending.result() == "3 team(s) decided, 0 of them completed; 3 refund(s), 240.00 returned"
        assert [await status(database, closed) for closed in teams] == [TeamStatus.FAILED] * 3
        for closed in teams:
            assert await audit(database, closed) == [("close", "ann", f"campaign {campaign_id} ends: sold out", True)]
    assert await violations(database) == []
