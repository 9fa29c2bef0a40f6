"""Teams: their conclusion, and what their workflows read."""

from temporalio import activity

import db.teams.conclude
import db.teams.take_over
from activities import interfaces
from activities.errors import database_errors
from db.core.connection import Database
from domain.messages.teams import ActedTeam, ConcludedTeam, ConcludeTeam, ExtendTeam, TakeOver, TeamRows


class TeamActivities(interfaces.TeamActivities):
    """One transaction each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def take_over(self, request: TakeOver) -> TeamRows:
        with database_errors():
            return await db.teams.take_over.take_over(self._database, request)

    @activity.defn
    async def conclude_team(self, request: ConcludeTeam) -> ConcludedTeam:
        with database_errors():
            return await db.teams.conclude.conclude_team(self._database, request)

    @activity.defn
    async def extend_team(self, request: ExtendTeam) -> ActedTeam:
        with database_errors():
            return await db.teams.conclude.extend_team(self._database, request)
