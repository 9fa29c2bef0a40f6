"""An export's workflow: writes the file, keeps it for a day, deletes it; cancelled, it leaves no file."""

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.testing import WorkflowEnvironment

from db.core.connection import Database
from db.exports import begin_export, read_export
from db.orders.queries import OrderFilter
from domain.errors import Refusal
from domain.ids import export_workflow_id
from domain.schemas.exports import Export, ExportKind, ExportStatus
from tests.acts import act_of
from tests.workflows.play import working
from workflows.starters import start_export


async def begin(client: Client, database: Database) -> Export:
    now = datetime.now(UTC)
    export = await begin_export(database, ExportKind.ORDERS, OrderFilter(source="nobody"), act=act_of(), now=now)
    await start_export(client, export)
    return export


async def test_a_file_is_kept_for_a_day(time: WorkflowEnvironment, database: Database) -> None:
    async with working(time.client, database):
        export = await begin(time.client, database)
        await time.sleep(timedelta(hours=23))
        done = await read_export(database, export.export_id)
        assert (done.status, done.rows) == (ExportStatus.DONE, 0)
        await time.sleep(timedelta(hours=2))
        result = await time.client.get_workflow_handle(export_workflow_id(export.export_id)).result()
    assert result == "done: 0 rows"
    with pytest.raises(Refusal, match="no export"):
        await read_export(database, export.export_id)


async def test_one_that_is_cancelled_fails(client: Client, database: Database) -> None:
    export = await begin(client, database)  # nobody works yet
    handle = client.get_workflow_handle(export_workflow_id(export.export_id))
    await handle.cancel()
    async with working(client, database):
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    failed = await read_export(database, export.export_id)
    assert (failed.status, failed.failure) == (ExportStatus.FAILED, "Its workflow was cancelled.")
