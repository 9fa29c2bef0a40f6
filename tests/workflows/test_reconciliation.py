"""Reconciliation on Temporal's own server: it asks Temporal what runs, and each of its steps stands by itself."""

import uuid
from collections.abc import AsyncIterator

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from db.attention import list_attention
from db.core.connection import Database, connection
from domain.messages.base import WorkflowFailure
from domain.messages.callbacks import Address
from tests.api.polling import until
from tests.workflows.play import Play, publish, working
from workflows.reconciliation import ReconciliationWorkflow
from workflows.task_queues import RECONCILIATION_QUEUE

NO_ADDRESS = Address(kind="http", address="http://127.0.0.1:9/nobody")


@pytest.fixture
async def team(client: Client, database: Database) -> AsyncIterator[Play]:
    """A completed team with a refund that waits for an operator, because the mall does not answer."""
    campaign, campaign_id, goods_id = await publish(database, target_count=2)
    async with working(client, database) as queue:
        team = Play(client, queue, campaign, campaign_id, goods_id, callback=NO_ADDRESS)
        await team.open()
        await team.join(2)
        for buyer in (1, 2):
            await team.pay(buyer)
        await team.refund(2)
        await until(lambda: attention_to(database, team), lambda found: "the mall does not answer" in str(found))
        yield team
        await team.refund_handle(2).signal("close_manually", {"operator": "ann"})
        await team.refund_handle(2).result()


async def reconcile(client: Client) -> str:
    workflow_id = f"reconciliation-{uuid.uuid4().hex}"
    return await client.execute_workflow(ReconciliationWorkflow.run, id=workflow_id, task_queue=RECONCILIATION_QUEUE)


async def attention_to(database: Database, team: Play) -> list[str]:
    items = await list_attention(database, None, 1000)
    return sorted(f"{item.kind}: {item.detail}" for item in items if item.team_id == team.team)


async def execute(database: Database, sql: str, *values: object) -> None:
    async with connection(database) as conn:
        await conn.execute(sql, *values)


async def wakeups(database: Database) -> list[str]:
    async with connection(database) as conn:
        return [row["team_id"] for row in await conn.fetch("SELECT team_id FROM team_wakeups")]


async def test_what_was_terminated_is_shown_until_it_runs_again(client: Client, database: Database, team: Play) -> None:
    not_checked_lately = "UPDATE refunds SET checked_at = checked_at - interval '3 minutes' WHERE order_id = $1"
    usual = await attention_to(database, team)
    await execute(database, not_checked_lately, team.order(2))
    await reconcile(client)
    assert await attention_to(database, team) == usual

    await execute(database, "DELETE FROM team_wakeups")  # the refund's, which no dispatcher runs here for
    await team.handle.terminate("by mistake")
    await team.refund_handle(2).terminate("by mistake")
    await execute(database, not_checked_lately, team.order(2))
    await execute(database, "ALTER TABLE audience_imports RENAME TO elsewhere")
    try:
        with pytest.raises(WorkflowFailureError) as failure:
            await reconcile(client)
    finally:
        await execute(database, "ALTER TABLE elsewhere RENAME TO audience_imports")
    # A step that fails makes the run fail, and stops no other step.
    assert isinstance(failure.value.cause, ApplicationError)
    assert failure.value.cause.type == WorkflowFailure.RECONCILIATION_INCOMPLETE
    assert failure.value.cause.message.startswith("clean up audiences: ")
    restarted, missing = sorted(set(await attention_to(database, team)) - set(usual))
    assert restarted == "refund: its workflow did not run: terminated; started again"
    assert missing == "workflow: its workflow is not running: terminated"
    assert team.team in await wakeups(database)  # which starts it

    await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=team.handle.id),
            workflow_task_finish_event_id=4,
            request_id=uuid.uuid4().hex,
            reason="a test",
        )
    )
    # As if some minutes had passed.
    await execute(database, not_checked_lately, team.order(2))
    await execute(database, "UPDATE reconciliation_findings SET next_try_at = last_seen_at")
    await reconcile(client)
    assert await attention_to(database, team) == usual
