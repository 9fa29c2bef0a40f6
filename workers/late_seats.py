"""Releases unpaid seats that workflows are late with, as after a crowd: the rows decide, and the workflows follow."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError

from db.core.connection import INFRASTRUCTURE_FAILURES, Database
from db.orders.release import release_overdue
from db.reconciliation.overdue import teams_with_late_seats
from domain.messages.orders import ReleaseOverdue
from domain.seats import LATE_AFTER

log = logging.getLogger("groupbuy.worker")

IDLE = timedelta(seconds=2)
"""between two looks"""
BUSY = timedelta(seconds=0.1)
"""where there is more to release than was found at one look"""
SEATS = 200
"""of one look"""
AT_ONCE = 2
"""teams: the other connections are the buyers'"""


class LateSeats:
    def __init__(self, database: Database, probe: Callable[[], Awaitable[None]]) -> None:
        """
        Args:
            database: the database.
            probe: asks the engine for an answer; raises where none comes. While it is away, unpaid seats are kept.
        """
        self._database = database
        self._probe = probe

    async def run(self) -> None:
        """Releases late seats until cancelled."""
        while True:
            pause = IDLE
            try:
                if await self.release_next(datetime.now(UTC)) >= SEATS:
                    pause = BUSY
            except* INFRASTRUCTURE_FAILURES as errors:
                log.warning("late seats could not be released: %r", errors.exceptions[0])
            except* (RPCError, WorkflowUpdateRPCTimeoutOrCancelledError) as errors:
                log.warning("late seats are kept while Temporal does not answer: %r", errors.exceptions[0])
            await asyncio.sleep(pause.total_seconds())

    async def release_next(self, now: datetime) -> int:
        """Releases the seats that are the longest overdue; returns of how many teams.

        Raises:
            RPCError, WorkflowUpdateRPCTimeoutOrCancelledError: the engine does not answer; nothing was released.
        """
        teams = await teams_with_late_seats(self._database, now - LATE_AFTER, SEATS)
        if not teams:
            return 0
        await self._probe()
        random.shuffle(teams)  # processes that look at the same time do not wait for each other's row locks
        slots = asyncio.Semaphore(AT_ONCE)

        async def release(team_id: str) -> None:
            async with slots:
                try:
                    await release_overdue(self._database, ReleaseOverdue(team_id=team_id, now=now), wakes_team=True)
                except INFRASTRUCTURE_FAILURES:
                    raise
                except Exception as error:  # noqa: BLE001 - the other teams are not touched by it, and reconciliation shows it
                    log.warning("the late seats of team %s could not be released: %s", team_id, error)

        async with asyncio.TaskGroup() as tasks:
            for team_id in teams:
                tasks.create_task(release(team_id))
        log.info("the late seats of %d team(s) were released", len(teams))
        return len(teams)
