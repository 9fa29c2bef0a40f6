"""The search of reconciliation."""

from datetime import timedelta

from temporalio import activity

import db.audiences.clean_up
import db.reconciliation
from activities import interfaces
from activities.errors import database_errors
from db.core.connection import Database
from domain.messages.reconciliation import FindOverdue, Overdue

LATE_BY = timedelta(minutes=2)


class ReconciliationActivities(interfaces.ReconciliationActivities):
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def find_overdue(self, request: FindOverdue) -> Overdue:
        with database_errors():
            # Here, where it needs no step of the workflow: it is one statement, and at most one batch.
            await db.audiences.clean_up.clean_up_audiences(self._database, request.now)
            return await db.reconciliation.find_overdue(self._database, request.now, LATE_BY)
