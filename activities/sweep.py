"""The net's search."""

from datetime import timedelta

from temporalio import activity

import db.audiences
import db.sweep
from activities.failures import database_failures
from db.connection import Database
from domain.messages import FindLeftovers, Leftovers

LATE_BY = timedelta(minutes=2)


class SweepActivities:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def find_leftovers(self, find: FindLeftovers) -> Leftovers:
        """Teams and events that are late by more than a live workflow ever is."""
        with database_failures():
            # Here, where it needs no step of the workflow: it is one statement, and at most one slice.
            await db.audiences.tidy_audiences(self._database, find.now)
            return await db.sweep.find_leftovers(self._database, find.now, LATE_BY)
