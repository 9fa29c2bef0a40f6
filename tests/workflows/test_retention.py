"""Retention's workflow says what it removed; it removes nothing unless its workers are told after how many days."""

import uuid
from datetime import UTC, datetime, timedelta

from temporalio.client import Client
from temporalio.worker import Worker

from activities.retention import RetentionActivities
from db.callbacks.deliveries import assign_sequences
from db.core.connection import Database
from domain.lifecycle import TeamDecision
from domain.retention import Retention
from tests.db.shop import SOURCE, Shop
from workflows.retention import RetentionWorkflow

LONG_AGO = datetime.now(UTC) - timedelta(days=100)


async def removed(client: Client, database: Database, days: int | None, *, archives: bool = False) -> str:
    queue = uuid.uuid4().hex
    activities = [RetentionActivities(database, Retention(days, archives)).remove_old_teams]
    async with Worker(client, task_queue=queue, workflows=[RetentionWorkflow], activities=activities):
        return await client.execute_workflow(RetentionWorkflow.run, id=f"retention-{queue}", task_queue=queue)


async def test_it_removes_what_is_older_than_its_workers_say(client: Client, database: Database) -> None:
    shop = Shop(database)
    if not await shop.value("SELECT count(*) FROM malls WHERE source = $1", SOURCE):
        await shop.open()
    campaign = await shop.campaign(starts_at=LONG_AGO - timedelta(days=1), ends_at=LONG_AGO + timedelta(days=1))
    member = shop.opener(campaign, number=uuid.uuid4().hex)
    await shop.lock(member, LONG_AGO)
    await shop.conclude(member, TeamDecision.CLOSE, LONG_AGO)
    await assign_sequences(database, SOURCE)
    assert await removed(client, database, None) == "off: GROUPBUY_RETENTION_DAYS is not set"
    assert (await removed(client, database, 200)).startswith("older than 200 days: removed 0 teams")
    assert await removed(client, database, 60, archives=True) == "older than 60 days: archived 1 teams, 1 orders, 2 events"
    assert await shop.value("SELECT count(*) FROM teams WHERE team_id = $1", member.team_id) == 0
    assert await shop.value("SELECT team_id FROM archived_teams WHERE team_id = $1", member.team_id) == member.team_id
