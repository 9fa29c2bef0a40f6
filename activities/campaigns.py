"""The shutdown of a campaign: its transactions, and the closing of its teams."""

import asyncio
import time
from typing import Protocol

from temporalio import activity

import db.campaigns.shutdown
import db.refunds.pending
import db.teams.conclude
from activities import interfaces
from activities.errors import database_errors
from activities.refunds import StartsRefund
from db.core.connection import Database
from domain.lifecycle import TeamDecision
from domain.messages.campaigns import BeginShutdown, ClosedTeams, CloseTeams, ReadShutdown, ShutdownState
from domain.messages.teams import ConcludeTeam

BATCH = 5
"""teams that are closed side by side; the next batch waits for them, and for as long again, so that locks find room between"""
TEAMS_PER_CALL = 500
CLOSED_WITHIN = 5.0
"""seconds until a batch that has not closed is left to the next call"""
POLL_EVERY = 0.05


class ClosesTeam(Protocol):
    """Signals `close` to a team's workflow; returns whether there is one."""

    async def __call__(self, team_id: str, *, operator: str, reason: str) -> bool: ...


class CampaignActivities(interfaces.CampaignActivities):
    def __init__(self, database: Database, close: ClosesTeam, start: StartsRefund) -> None:
        self._database = database
        self._close = close
        self._start = start

    @activity.defn
    async def begin_shutdown(self, request: BeginShutdown) -> None:
        with database_errors():
            await db.campaigns.shutdown.begin_shutdown(self._database, request)

    @activity.defn
    async def close_teams(self, request: CloseTeams) -> ClosedTeams:
        """Closes forming teams; a retry goes on where the last attempt stopped."""
        details = activity.info().heartbeat_details
        after, count, event_ids = (str(details[0]), int(details[1]), list(details[2])) if details else (request.after, 0, [])
        while count < TEAMS_PER_CALL:
            with database_errors():
                batch = await db.campaigns.shutdown.forming_teams(self._database, request, after, BATCH)
            if not batch:
                return ClosedTeams(event_ids=event_ids)
            began = time.monotonic()
            closed = await asyncio.gather(*(self._close_team(team_id, request) for team_id in batch))
            await self._wait_until_closed(batch)
            await asyncio.sleep(time.monotonic() - began)
            after, count = batch[-1], count + len(batch)
            event_ids += [event_id for team_events in closed for event_id in team_events]
            activity.heartbeat(after, count, event_ids)
        return ClosedTeams(after=after, event_ids=event_ids)

    @activity.defn
    async def measure_shutdown(self, request: ReadShutdown) -> ShutdownState:
        with database_errors():
            return await db.campaigns.shutdown.measure_shutdown(self._database, request)

    async def _close_team(self, team_id: str, request: CloseTeams) -> list[str]:
        """Signals the team's workflow; where there is none, or it did not close the team, closes the team's rows.

        Returns:
            The events that no workflow delivers.
        """
        is_signaled = await self._close(team_id, operator=request.operator, reason=request.reason)
        if is_signaled and not request.by_rows:
            return []
        with database_errors():
            close = ConcludeTeam(team_id=team_id, decision=TeamDecision.CLOSE, now=request.now)
            concluded = await db.teams.conclude.conclude_team(self._database, close)
            owed = await db.refunds.pending.owed_by_team(self._database, team_id, "", len(concluded.owed) + 1)
        for refund in owed:
            await self._start(refund)
        return concluded.event_ids

    async def _wait_until_closed(self, team_ids: list[str]) -> None:
        """Waits for the workflows of these teams, and of their refunds, for a limited time."""
        give_up = time.monotonic() + CLOSED_WITHIN
        while time.monotonic() < give_up:
            with database_errors():
                if not await db.campaigns.shutdown.any_unfinished(self._database, team_ids):
                    return
            await asyncio.sleep(POLL_EVERY)
