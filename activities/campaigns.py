"""The shutdown of a campaign: its transactions, and the closing of its teams."""

import asyncio
from itertools import chain
from typing import Protocol

from temporalio import activity

import db.campaigns.shutdown
import db.teams.conclude
from activities import interfaces
from activities.batches import next_batch, progress_of
from activities.errors import database_errors
from db.core.connection import Database
from domain.lifecycle import TeamDecision
from domain.messages.acts import Act, signal_author
from domain.messages.campaigns import BeginShutdown, ClosedTeams, CloseTeams, Closing, ReadShutdown, ShutdownState
from domain.messages.teams import ConcludedTeam, ConcludeTeam

BATCH = 5
"""teams that are closed side by side, by all shutdowns together if they are as few"""
TEAMS_PER_CALL = 500
CHECKS = 5
"""attempts after which a batch that has not closed is left to the next call"""


class ClosesTeam(Protocol):
    """Signals `close` to a team's workflow; returns whether there is one."""

    async def __call__(self, team_id: str, *, operator: str, reason: str) -> bool: ...


class CampaignActivities(interfaces.CampaignActivities):
    def __init__(self, database: Database, close: ClosesTeam) -> None:
        self._database = database
        self._close = close

    @activity.defn
    async def begin_shutdown(self, request: BeginShutdown) -> None:
        with database_errors():
            await db.campaigns.shutdown.begin_shutdown(self._database, request)

    @activity.defn
    async def close_teams(self, request: CloseTeams) -> ClosedTeams:
        """Closes forming teams, a batch at a time.

        The next batch follows when this one is closed and its refunds have begun.
        """
        progress = progress_of(Closing)
        after = progress.after or request.after
        with database_errors():
            if progress.checks < CHECKS and await db.campaigns.shutdown.any_unfinished(self._database, progress.closing):
                raise next_batch(progress.done, progress.model_copy(update={"checks": progress.checks + 1}))
            if progress.count >= TEAMS_PER_CALL:
                return ClosedTeams(after=after, event_ids=progress.event_ids, owing=progress.owing)
            size = max(BATCH // max(await db.campaigns.shutdown.closing_shutdowns(self._database), 1), 1)
            batch = await db.campaigns.shutdown.forming_teams(self._database, request, after, size)
        if not batch:
            return ClosedTeams(event_ids=progress.event_ids, owing=progress.owing)
        answers = await asyncio.gather(*(self._close_team(team_id, request) for team_id in batch))
        concluded = {team_id: answer for team_id, answer in zip(batch, answers, strict=True) if answer is not None}
        progress = Closing(
            after=batch[-1],
            count=progress.count + len(batch),
            event_ids=[*progress.event_ids, *chain(*(answer.event_ids for answer in concluded.values()))],
            owing=[*progress.owing, *(team_id for team_id, answer in concluded.items() if answer.owed)],
            closing=[team_id for team_id in batch if team_id not in concluded],
        )
        raise next_batch(progress.done, progress)

    @activity.defn
    async def measure_shutdown(self, request: ReadShutdown) -> ShutdownState:
        with database_errors():
            return await db.campaigns.shutdown.measure_shutdown(self._database, request)

    async def _close_team(self, team_id: str, request: CloseTeams) -> ConcludedTeam | None:
        """Signals the team's workflow; where there is none, or it did not close the team, closes the team's rows."""
        is_signaled = await self._close(team_id, operator=request.operator, reason=request.reason)
        if is_signaled and not request.by_rows:
            return None
        with database_errors():
            author = signal_author(request.operator)
            act = Act(id=f"shutdown-{request.campaign_id}", author=author, reason=request.reason)
            close = ConcludeTeam(team_id=team_id, decision=TeamDecision.CLOSE, now=request.now, act=act)
            return await db.teams.conclude.conclude_team(self._database, close, wakes_team=True)
