"""Tells the workflows of teams that their rows were changed by somebody else: the drain of the wake-ups."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from temporalio.service import RPCError, RPCStatusCode

from db.core.connection import INFRASTRUCTURE_FAILURES, Database
from db.teams.queries import read_team_facts
from db.teams.wakeups import WakeUp, claim_wakeups, discard_wakeup, give_back_wakeups, record_failed_wakeup
from domain.lifecycle import TeamStatus
from domain.messages.teams import RowsChanged, TeamFacts
from domain.wakeups import told_at_once

log = logging.getLogger("groupbuy.worker")

IDLE = timedelta(seconds=0.5)
"""between two looks when nothing was left"""
BUSY = timedelta(seconds=0.05)
AWAY = timedelta(seconds=1)
"""after the database or Temporal did not answer"""
ENGINE_AWAY = {
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.CANCELLED,
    RPCStatusCode.RESOURCE_EXHAUSTED,
    RPCStatusCode.ABORTED,
    RPCStatusCode.INTERNAL,
    RPCStatusCode.NOT_FOUND,  # the namespace
}

TellsTeam = Callable[[TeamFacts, TeamStatus, RowsChanged], Awaitable[None]]


class WakeUpDispatcher:
    def __init__(
        self, database: Database, tell: TellsTeam, at_once: int, are_buyers_present: Callable[[], bool] = lambda: False
    ) -> None:
        """
        Args:
            database: the database.
            tell: tells a team's workflow to read the rows.
            at_once: how many workflows may have been told and not have read yet, by all dispatchers together.
            are_buyers_present: says whether buyers need the engine, too: then they are fewer.
        """
        self._database = database
        self._tell = tell
        self._at_once = at_once
        self._are_buyers_present = are_buyers_present

    async def run(self) -> None:
        """Tells workflows until cancelled."""
        while True:
            try:
                pause = BUSY if await self.tell_next() else IDLE
            except INFRASTRUCTURE_FAILURES as error:
                log.warning("wake-ups could not be read: %s: %s", type(error).__name__, error)
                pause = AWAY
            except EngineAwayError as error:
                log.warning("Temporal could not be told of %d team(s): %s", error.count, error)
                pause = AWAY
            await asyncio.sleep(pause.total_seconds())

    async def tell_next(self) -> int:
        """Tells the workflows that are told next; returns how many.

        Raises:
            EngineAwayError: Temporal did not answer for some.
        """
        at_once = told_at_once(self._at_once, are_buyers_present=self._are_buyers_present())
        wakeups = await claim_wakeups(self._database, datetime.now(UTC), at_once)
        if not wakeups:
            return 0
        facts = await read_team_facts(self._database, [wakeup.team_id for wakeup in wakeups])
        failures = await asyncio.gather(*(self._tell_one(wakeup, facts.get(wakeup.team_id)) for wakeup in wakeups))
        untold = {wakeup.team_id: failure for wakeup, failure in zip(wakeups, failures, strict=True) if failure}
        if untold:
            await give_back_wakeups(self._database, untold.keys(), datetime.now(UTC))
            raise EngineAwayError(len(untold), next(iter(untold.values())))
        return len(wakeups)

    async def _tell_one(self, wakeup: WakeUp, team: tuple[TeamFacts, TeamStatus] | None) -> str:
        """Returns why Temporal could not be told, or nothing."""
        if team is None:
            await discard_wakeup(self._database, wakeup.team_id)
            return ""
        try:
            await self._tell(*team, RowsChanged(locks=wakeup.locks, payments=wakeup.payments))
        except RPCError as error:
            if error.status in ENGINE_AWAY:
                return f"{error.status.name}: {error}"
            await record_failed_wakeup(self._database, wakeup.team_id, f"{error.status.name}: {error}")
        return ""


class EngineAwayError(Exception):
    """Temporal did not answer."""

    def __init__(self, count: int, failure: str) -> None:
        super().__init__(failure)
        self.count = count
