"""The net's search."""

from datetime import timedelta

from temporalio import activity

import db.audiences.clean_up
import db.reconciliation
from activities.errors import database_errors
from db.core.connection import Database
from domain.messages.reconciliation import FindLeftovers, Leftovers

LATE_BY = timedelta(minutes=2)


class ReconciliationActivities:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def find_leftovers(self, find: FindLeftovers) -> Leftovers:
        """Teams and events that are late by more than a live workflow ever is."""
        with database_errors():
            # Here, where it needs no step of the workflow: it is one statement, and at most one slice.
            await db.audiences.clean_up.clean_up_audiences(self._database, find.now)
            return await db.reconciliation.find_leftovers(self._database, find.now, LATE_BY)
