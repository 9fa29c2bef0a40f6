"""Exports: writes lists as files, a few chunks at a time."""

from datetime import UTC, datetime

from temporalio import activity

import db.exports
from activities import interfaces
from activities.batches import SlotTime, next_batch
from activities.errors import database_errors
from db.core.connection import Database
from domain.messages.exports import DeleteExports, ExportInput, ExportState, FailExport
from domain.schemas.exports import ExportStatus


class ExportActivities(interfaces.ExportActivities):
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def write_export(self, request: ExportInput) -> ExportState:
        """Writes the file; the rows say where the last attempt stopped."""
        time = SlotTime()
        while True:
            with database_errors():
                state = await db.exports.write_chunk(self._database, request.export_id, datetime.now(UTC))
            if state.status is not ExportStatus.RUNNING:
                return state
            if time.is_over:
                raise next_batch(f"{state.rows} row(s) written")

    @activity.defn
    async def fail_export(self, request: FailExport) -> None:
        with database_errors():
            await db.exports.fail_export(self._database, request.export_id, request.reason, request.now)

    @activity.defn
    async def delete_exports(self, request: DeleteExports) -> None:
        with database_errors():
            await db.exports.delete_exports(self._database, request.now)
