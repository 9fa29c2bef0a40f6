"""Audiences: a rule's job, and the members that it replaces."""

from datetime import UTC, datetime

from temporalio import activity

import db.audiences.clean_up
import db.audiences.imports
from activities.errors import database_errors
from db.core.connection import Database
from domain.messages.audiences import AudienceImportInput, ClearedMembers, FailImport, ImportState
from domain.schemas.audiences import ImportStatus


class AudienceActivities:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def fill_audience(self, asked: AudienceImportInput) -> ImportState:
        """Goes through the orders in slices of users; a retry goes on where the rows say that the last try stopped."""
        while True:
            with database_errors():
                state = await db.audiences.imports.import_users(self._database, asked.filling, datetime.now(UTC))
            if state.status is not ImportStatus.RUNNING:
                return state
            activity.heartbeat(state)

    @activity.defn
    async def fail_filling(self, asked: FailImport) -> None:
        """Gives a filling up; the former members stay."""
        with database_errors():
            await db.audiences.imports.fail_import(self._database, asked.filling, asked.why, asked.now)

    @activity.defn
    async def clear_replaced_members(self, asked: AudienceImportInput) -> ClearedMembers:
        """Deletes, in slices, the members of an audience's fillings that are not in force."""
        cleared: list[int] = []
        while True:
            with database_errors():
                filling = await db.audiences.clean_up.find_replaced_import(self._database, asked.audience_id)
            if filling is None:
                return ClearedMembers(fillings=cleared)
            after: str | None = ""
            while after is not None:
                with database_errors():
                    after = await db.audiences.clean_up.delete_members(self._database, filling, after, datetime.now(UTC))
                activity.heartbeat(filling, after)
            cleared.append(filling)
