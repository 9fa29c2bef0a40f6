"""The workflow that sends a range of events again: it waits for a mall that is away, and says what it could not send."""

from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.callbacks.retries import RetrySchedule
from db.callbacks.mass_redelivery import begin_redelivery
from db.core.connection import Database, connection
from domain.schemas.redeliveries import RedeliveryRange
from tests.acts import act_of
from tests.api.receiver import Receiver, listening
from tests.api.signals import until_details
from tests.db.callbacks.ranges import SEED
from tests.workflows.play import NO_RETRIES, SECRET, SOURCE, publish, working
from workflows.search_attributes import NEEDS_ATTENTION
from workflows.starters import start_mass_redelivery

RETRIES = RetrySchedule(timedelta(hours=1), timedelta(hours=1), give_up_after=timedelta(days=30000))


async def started(time: WorkflowEnvironment, database: Database, receiver: Receiver, year: int) -> WorkflowHandle[Any, Any]:
    """Lets 30 dead events of a mall be sent again, which has no others in this year."""
    since = datetime(year, 1, 1, tzinfo=UTC)
    await publish(database)
    async with connection(database) as conn:
        await conn.execute(SEED, str(year), SOURCE, since, 30, "dead", receiver.callback()["url"])
    wanted = RedeliveryRange(source=SOURCE, since=since, until=since + timedelta(hours=1))
    now = datetime.now(UTC)
    redelivery = await begin_redelivery(database, wanted, act=act_of(), now=now, gives_up_at=now + timedelta(days=3))
    await start_mass_redelivery(time.client, redelivery)
    assert redelivery.workflow is not None
    return time.client.get_workflow_handle(redelivery.workflow.id)


async def test_it_waits_for_a_mall_that_is_away_until_somebody_says_it_is_back(
    time: WorkflowEnvironment, database: Database
) -> None:
    async with listening(SECRET) as mall, working(time.client, database, retries=RETRIES):
        mall.answer_with(lambda _: web.Response(status=500))
        workflow = await started(time, database, mall, 2024)
        await until_details(workflow, say="| 0 | 30 | 0 | 0 |")
        await workflow.signal("resend", {"operater": "ann"})
        await until_details(workflow, say="resend changed nothing: operater")
        mall.answer_with(lambda _: web.Response())
        await workflow.signal("resend", {"operator": "ann"})
        assert await workflow.result() == "30 delivered, 0 dead, of 30 event(s)"
        assert "resend by ann." in await until_details(workflow, say="**30** of 30 event(s) are sent again: done.")


async def test_what_a_mall_does_not_take_needs_attention(time: WorkflowEnvironment, database: Database) -> None:
    async with listening(SECRET) as mall, working(time.client, database, retries=NO_RETRIES):
        mall.answer_with(lambda _: web.Response(status=410))
        workflow = await started(time, database, mall, 2025)
        assert await workflow.result() == "0 delivered, 30 dead, of 30 event(s)"
        assert (await workflow.describe()).typed_search_attributes[NEEDS_ATTENTION]
