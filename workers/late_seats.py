"""Releases unpaid seats that workflows are late with, as after a crowd: the rows decide, and the workflows follow."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError

from db.core.connection import INFRASTRUCTURE_FAILURES, Database
from db.orders.release import has_late_seats, release_late

log = logging.getLogger("groupbuy.worker")

LOOK_EVERY = timedelta(seconds=1)
SEATS = 100
"""of one transaction"""
PAUSE = timedelta(seconds=0.05)
"""between two transactions: the time is the buyers'"""


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
        """Looks again and again until cancelled."""
        while True:
            try:
                await self.release(datetime.now(UTC))
            except INFRASTRUCTURE_FAILURES as error:
                log.warning("late seats could not be released: %s: %s", type(error).__name__, error)
            except (RPCError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
                log.warning("late seats are kept while Temporal does not answer: %s", error)
            except Exception:
                # Of one team's rows: reconciliation finds it, shows it, and then it holds up no other.
                log.exception("a defect: late seats could not be released")
            await asyncio.sleep(LOOK_EVERY.total_seconds())

    async def release(self, now: datetime) -> int:
        """Releases all that are late; returns of how many teams.

        Raises:
            RPCError, WorkflowUpdateRPCTimeoutOrCancelledError: the engine does not answer; nothing was released.
        """
        if not await has_late_seats(self._database, now):
            return 0
        await self._probe()
        released = 0
        while count := await release_late(self._database, now, SEATS):
            released += count
            await asyncio.sleep(PAUSE.total_seconds())
        log.info("the late seats of %d team(s) were released", released)
        return released
