"""Audience imports: members selected by a rule, and the deletion of replaced ones."""

from datetime import UTC, datetime

from temporalio import activity

import db.audiences.clean_up
import db.audiences.imports
from activities import interfaces
from activities.batches import SlotTime, next_batch, progress_of
from activities.errors import database_errors
from db.core.connection import Database
from domain.messages.audiences import AudienceImportInput, ClearedMembers, Clearing, FailImport, ImportState
from domain.schemas.audiences import ImportStatus


class AudienceActivities(interfaces.AudienceActivities):
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def import_members(self, request: AudienceImportInput) -> ImportState:
        """Imports the users whom the rule selects; the rows say where the last attempt stopped."""
        time = SlotTime()
        while True:
            with database_errors():
                state = await db.audiences.imports.import_users(self._database, request.import_id, datetime.now(UTC))
            if state.status is not ImportStatus.RUNNING:
                return state
            if time.is_over:
                raise next_batch(f"{state.seen} user(s) seen")

    @activity.defn
    async def fail_import(self, request: FailImport) -> None:
        with database_errors():
            await db.audiences.imports.fail_import(self._database, request.import_id, request.reason, request.now)

    @activity.defn
    async def clear_replaced_members(self, request: AudienceImportInput) -> ClearedMembers:
        time, progress = SlotTime(), progress_of(Clearing)
        cleared, import_id, after = progress.cleared, progress.import_id, progress.after
        while True:
            with database_errors():
                if import_id is None:
                    import_id = await db.audiences.clean_up.find_replaced_import(self._database, request.audience_id)
                if import_id is None:
                    return ClearedMembers(import_ids=cleared)
                last = await db.audiences.clean_up.delete_members(self._database, import_id, after, datetime.now(UTC))
            if last is None:
                cleared, import_id = [*cleared, import_id], None
            after = last or ""
            if time.is_over:
                progress = Clearing(cleared=cleared, import_id=import_id, after=after)
                raise next_batch(f"{len(cleared)} import(s) cleared", progress)
