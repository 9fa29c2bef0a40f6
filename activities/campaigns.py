"""Ending a campaign: its transactions, and the closing of its teams."""

import asyncio
import time
from typing import Protocol

from temporalio import activity

import db.campaigns.shutdown
import db.refunds.pending
import db.teams.conclude
from activities.errors import database_errors
from activities.refunds import StartsRefund
from db.core.connection import Database
from domain.lifecycle import TeamDecision
from domain.messages.campaigns import BeginShutdown, ClosedTeams, CloseTeams, ReadShutdown, ShutdownState
from domain.messages.teams import ConcludeTeam

AT_ONCE = 5
"""teams that are closed side by side: the next ones wait for them, and for as long again, so that locks find room between"""
TEAMS_PER_CALL = 500
LOOKS, PAUSE = 100, 0.05
"""how often, and after how many seconds, it is looked whether they are closed"""


class TellsTeam(Protocol):
    """Sends a team's workflow the operators' `close`; returns whether there is one."""

    async def __call__(self, team_id: str, *, operator: str, reason: str) -> bool: ...


class CampaignActivities:
    def __init__(self, database: Database, close: TellsTeam, start: StartsRefund) -> None:
        self._database = database
        self._close = close
        self._start = start

    @activity.defn
    async def begin_ending(self, asked: BeginShutdown) -> None:
        """Ends the campaign, and takes down its forming teams."""
        with database_errors():
            await db.campaigns.shutdown.begin_shutdown(self._database, asked)

    @activity.defn
    async def close_teams(self, asked: CloseTeams) -> ClosedTeams:
        """Closes forming teams, in slices; a retry goes on where the last one stopped."""
        details = activity.info().heartbeat_details
        after, count, event_ids = (str(details[0]), int(details[1]), list(details[2])) if details else (asked.after, 0, [])
        while count < TEAMS_PER_CALL:
            with database_errors():
                slice_ = await db.campaigns.shutdown.forming_teams(self._database, asked, after, AT_ONCE)
            if not slice_:
                return ClosedTeams(event_ids=event_ids)
            began = time.monotonic()
            closed = await asyncio.gather(*(self._close_team(team_id, asked) for team_id in slice_))
            await self._until_closed(slice_)
            await asyncio.sleep(time.monotonic() - began)
            after, count = slice_[-1], count + len(slice_)
            event_ids += [event_id for news in closed for event_id in news]
            activity.heartbeat(after, count, event_ids)
        return ClosedTeams(after=after, event_ids=event_ids)

    @activity.defn
    async def look_at_ending(self, asked: ReadShutdown) -> ShutdownState:
        """Counts what is done; finishes the ending when that is all."""
        with database_errors():
            return await db.campaigns.shutdown.measure_shutdown(self._database, asked)

    async def _close_team(self, team_id: str, asked: CloseTeams) -> list[str]:
        """Leaves it to the team's workflow; where there is none, or it did not do it, closes the team by its rows.

        Returns:
            The events that no workflow tells of.
        """
        is_told = await self._close(team_id, operator=asked.operator, reason=asked.reason)
        if is_told and not asked.by_rows:
            return []
        with database_errors():
            ending = ConcludeTeam(team_id=team_id, ending=TeamDecision.CLOSE, now=asked.now)
            concluded = await db.teams.conclude.conclude_team(self._database, ending)
            owed = await db.refunds.pending.owed_by_team(self._database, team_id, "", len(concluded.owed) + 1)
        for refund in owed:
            await self._start(refund)
        return concluded.event_ids

    async def _until_closed(self, team_ids: list[str]) -> None:
        """Waits a while for their workflows, and for those of their refunds; what is left then is the next call's."""
        for _ in range(LOOKS):
            with database_errors():
                if not await db.campaigns.shutdown.any_unfinished(self._database, team_ids):
                    return
            await asyncio.sleep(PAUSE)
