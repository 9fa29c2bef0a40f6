"""Signals from operators to the workflows of teams."""

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from api.http.temporal_errors import time_limit
from db.core.connection import Database
from db.teams.queries import read_team
from domain.errors import ErrorCode, Refusal
from domain.ids import team_workflow_id
from settings import Settings


class TeamService:
    def __init__(self, database: Database, client: Client, settings: Settings) -> None:
        self._database = database
        self._client = client
        self._settings = settings

    async def signal(self, team_id: str, signal: str, payload: dict[str, object]) -> None:
        """Sends a signal to a team's workflow.

        Raises:
            Refusal: team_not_found; team_closed when its workflow has ended.
            Unavailable: the outcome is unknown.
        """
        async with time_limit(self._settings.answer_within):
            if await read_team(self._database, None, team_id) is None:
                raise Refusal(ErrorCode.TEAM_NOT_FOUND, f"There is no team {team_id}.")
            try:
                await self._client.get_workflow_handle(team_workflow_id(team_id)).signal(signal, payload)
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                raise Refusal(ErrorCode.TEAM_CLOSED, f"The workflow of team {team_id} has ended.") from error
