"""Notices a Temporal namespace that knows none of the teams: a new one, or one whose state was lost."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from temporalio.client import Client
from temporalio.service import RPCError

from db.core.connection import INFRASTRUCTURE_FAILURES, Database
from db.teams.wakeups import leave_wakeups_everywhere
from workflows.schedules import ensure_schedules

log = logging.getLogger("groupbuy.worker")

LOOK_EVERY = timedelta(seconds=5)


class NamespaceWatch:
    """Where the schedule of reconciliation is missing, it is created, and a wake-up is left for every live team."""

    def __init__(self, client: Client, database: Database) -> None:
        self._client = client
        self._database = database
        self._is_new = False

    async def look(self) -> None:
        self._is_new = await ensure_schedules(self._client) or self._is_new
        if self._is_new:
            count = await leave_wakeups_everywhere(self._database, datetime.now(UTC))
            self._is_new = False
            log.info("the namespace is new: %d team(s) are woken", count)

    async def run(self) -> None:
        """Looks again and again until cancelled: Temporal may lose its state while this process runs."""
        while True:
            await asyncio.sleep(LOOK_EVERY.total_seconds())
            try:
                await self.look()
            except (RPCError, *INFRASTRUCTURE_FAILURES) as error:
                log.warning("the namespace could not be looked at: %s: %s", type(error).__name__, error)
