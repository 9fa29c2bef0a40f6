"""Audiences: a rule's job, and the members that it replaces."""

from datetime import UTC, datetime

from temporalio import activity

import db.audiences
from activities.failures import database_failures
from db.connection import Database
from domain.audiences import FillingStatus
from domain.messages import AudienceFilling, ClearedMembers, FailFilling, FillingState


class AudienceActivities:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def fill_audience(self, asked: AudienceFilling) -> FillingState:
        """Goes through the orders in slices of users; a retry goes on where the rows say that the last try stopped."""
        while True:
            with database_failures():
                state = await db.audiences.take_users(self._database, asked.filling, datetime.now(UTC))
            if state.status is not FillingStatus.RUNNING:
                return state
            activity.heartbeat(state)

    @activity.defn
    async def fail_filling(self, asked: FailFilling) -> None:
        """Gives a filling up; the former members stay."""
        with database_failures():
            await db.audiences.fail_filling(self._database, asked.filling, asked.why, asked.now)

    @activity.defn
    async def clear_replaced_members(self, asked: AudienceFilling) -> ClearedMembers:
        """Deletes, in slices, the members of an audience's fillings that are not in force."""
        cleared: list[int] = []
        while True:
            with database_failures():
                filling = await db.audiences.replaced_filling(self._database, asked.audience_id)
            if filling is None:
                return ClearedMembers(fillings=cleared)
            after: str | None = ""
            while after is not None:
                with database_failures():
                    after = await db.audiences.delete_members(self._database, filling, after, datetime.now(UTC))
                activity.heartbeat(filling, after)
            cleared.append(filling)
