"""Seats and payments that were admitted beside a team's workflow: it takes them over, and does what follows."""

import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from db.core.connection import Database, connection
from db.core.invariants import violations
from domain.lifecycle import TeamStatus
from domain.messages.callbacks import Address
from tests.api.receiver import listening
from tests.workflows.play import SECRET, callback_activities, working
from tests.workflows.team.direct import play_directly
from workers.queues import Process, trade_worker
from workflows.team.workflow import TeamWorkflow


@pytest.fixture
async def queue(time: WorkflowEnvironment, database: Database) -> AsyncIterator[str]:
    async with working(time.client, database) as name:
        yield name
    assert await violations(database) == []


async def test_a_team_that_was_opened_directly_gets_its_workflow(
    time: WorkflowEnvironment, database: Database, queue: str
) -> None:
    direct = await play_directly(time.client, database, queue)
    await direct.lock(1)
    await direct.lock(2)
    await direct.until_taken_over()
    state = await direct.team.handle.query(TeamWorkflow.view)
    assert (len(state.live_seats), state.direct_locks, state.direct_payments) == (2, 2, 0)
    await direct.team.join(3)
    for buyer in (1, 2):
        await direct.team.pay(buyer)
    await direct.pay(3)
    await direct.until_taken_over()
    assert await direct.status() is TeamStatus.COMPLETED
    await direct.team.handle.terminate()


async def test_a_direct_payment_completes_the_team_and_its_workflow_tells_the_mall(
    time: WorkflowEnvironment, database: Database, queue: str
) -> None:
    async with listening(SECRET) as receiver:
        direct = await play_directly(time.client, database, queue, Address(kind="http", address=receiver.callback()["url"]))
        await direct.team.open()
        await direct.lock(2)
        await direct.team.join(3)
        for buyer in (1, 2, 3):
            await direct.pay(buyer)
        await direct.until_taken_over()
        await receiver.of_type("team.completed")
    await direct.team.handle.terminate()


async def test_an_opener_whose_request_to_the_workflow_came_too_late_is_taken_over_at_once(
    time: WorkflowEnvironment, database: Database, queue: str
) -> None:
    """The workflow waits for a first seat, for a minute, and is told that the rows have one."""
    direct = await play_directly(time.client, database, queue)
    await time.client.start_workflow(
        TeamWorkflow.run, direct.team.input(), id=direct.team.handle.id, task_queue=queue, run_timeout=timedelta(days=30)
    )
    await direct.lock(1)
    await direct.until_taken_over()
    assert len((await direct.team.handle.query(TeamWorkflow.view)).live_seats) == 1
    await direct.team.handle.terminate()


async def test_a_wakeup_that_outlives_its_teams_workflow_starts_one_that_ends_at_once(
    time: WorkflowEnvironment, database: Database, queue: str
) -> None:
    direct = await play_directly(time.client, database, queue)
    await direct.team.open()
    await direct.team.handle.signal("close", {"operator": "ann"})
    await direct.team.handle.result()
    async with connection(database) as conn:
        await conn.execute(
            "INSERT INTO team_wakeups (team_id, since, due_at, urgency, locks, payments, next_try_at)"
            " VALUES ($1, now(), now(), 0, 0, 0, now())",
            direct.team.team,
        )
    assert await direct.dispatcher.tell_next() == 1
    assert await direct.team.handle.result() == "failed"
    async with connection(database) as conn:
        assert await conn.fetchval("SELECT count(*) FROM team_wakeups") == 0


async def test_a_worker_process_knows_of_the_buyers_whom_workflows_answer(
    time: WorkflowEnvironment, database: Database
) -> None:
    process, queue = Process(time.client, database), f"test-{uuid.uuid4().hex}"
    with ThreadPoolExecutor(1) as threads:
        async with callback_activities(database) as callbacks, trade_worker(process, threads, callbacks, queue):
            direct = await play_directly(time.client, database, queue)
            await direct.lock(1)
            await direct.until_taken_over()
            assert not process.buyers.are_present(), "nobody waits for a team that is taken over"
            await direct.team.join(2)
            assert process.buyers.are_present()
            await direct.team.handle.terminate()
