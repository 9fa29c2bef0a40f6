"""Audience imports: members selected by a rule, and the deletion of replaced ones."""

from datetime import UTC, datetime

from temporalio import activity

import db.audiences.clean_up
import db.audiences.imports
from activities import interfaces
from activities.errors import database_errors
from db.core.connection import Database
from domain.messages.audiences import AudienceImportInput, ClearedMembers, FailImport, ImportState
from domain.schemas.audiences import ImportStatus


class AudienceActivities(interfaces.AudienceActivities):
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def import_members(self, request: AudienceImportInput) -> ImportState:
        """Imports the users whom the rule selects; a retry goes on where the rows say that the last attempt stopped."""
        while True:
            with database_errors():
                state = await db.audiences.imports.import_users(self._database, request.import_id, datetime.now(UTC))
            if state.status is not ImportStatus.RUNNING:
                return state
            activity.heartbeat(state)

    @activity.defn
    async def fail_import(self, request: FailImport) -> None:
        with database_errors():
            await db.audiences.imports.fail_import(self._database, request.import_id, request.reason, request.now)

    @activity.defn
    async def clear_replaced_members(self, request: AudienceImportInput) -> ClearedMembers:
        cleared: list[int] = []
        while True:
            with database_errors():
                import_id = await db.audiences.clean_up.find_replaced_import(self._database, request.audience_id)
            if import_id is None:
                return ClearedMembers(import_ids=cleared)
            after: str | None = ""
            while after is not None:
                with database_errors():
                    after = await db.audiences.clean_up.delete_members(self._database, import_id, after, datetime.now(UTC))
                activity.heartbeat(import_id, after)
            cleared.append(import_id)
