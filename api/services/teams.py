"""What operators do to teams: an act is an update of the team's workflow, which records it and answers with its outcome."""

import uuid
from datetime import UTC, datetime

from temporalio.client import Client

from api.http.temporal_errors import (
    WorkflowGoneError,
    repeat_until_ready,
    retrieve_start_failure,
    time_limit,
    translate_update_errors,
)
from db.core.connection import Database
from db.settings.audit import record_unchanged
from db.teams.queries import read_team, read_team_facts
from domain.errors import ErrorCode, Refusal
from domain.ids import team_workflow_id
from domain.lifecycle import TeamStatus
from domain.messages.acts import Act, Author, Outcome
from domain.messages.teams import ExtendByOperator
from domain.schemas.teams import Team
from settings import Settings
from workflows.starters import team_start
from workflows.team.operator_signals import CLOSE, COMPLETE, EXTEND


class TeamService:
    def __init__(self, database: Database, client: Client, settings: Settings) -> None:
        self._database = database
        self._client = client
        self._settings = settings

    async def extend(self, team_id: str, minutes: int, *, by: Author, reason: str, act_id: str = "") -> tuple[Outcome, Team]:
        """Gives a forming team more time; returns what came of that, and the team as it is then.

        Args:
            team_id: the team.
            minutes: how much more time.
            by: who does it.
            reason: why, for the audit.
            act_id: names the act, which is done once however often it is sent; without it, each call is an act.

        Raises:
            Refusal: team_not_found.
            Unavailable: the outcome is unknown.
        """
        act = _act(by, reason, act_id)
        return await self._update(team_id, EXTEND, ExtendByOperator(minutes=minutes, act=act), act)

    async def complete(self, team_id: str, *, by: Author, reason: str, act_id: str = "") -> tuple[Outcome, Team]:
        """As `extend`, to complete a forming team with its paid members."""
        act = _act(by, reason, act_id)
        return await self._update(team_id, COMPLETE, act, act)

    async def close(self, team_id: str, *, by: Author, reason: str, act_id: str = "") -> tuple[Outcome, Team]:
        """As `extend`, to fail a forming team."""
        act = _act(by, reason, act_id)
        return await self._update(team_id, CLOSE, act, act)

    async def _update(self, team_id: str, name: str, argument: ExtendByOperator | Act, act: Act) -> tuple[Outcome, Team]:
        async with time_limit(self._settings.answer_within):
            await self._read(team_id)
            update_id = f"{name}:{act.id}"
            try:
                async with translate_update_errors():
                    workflow = self._client.get_workflow_handle(team_workflow_id(team_id))
                    outcome = await repeat_until_ready(
                        lambda: workflow.execute_update(name, argument, id=update_id, result_type=Outcome)
                    )
            except WorkflowGoneError:
                outcome = await self._act_without_workflow(team_id, name, argument, act, update_id)
            return outcome, await self._read(team_id)

    async def _act_without_workflow(
        self, team_id: str, name: str, argument: ExtendByOperator | Act, act: Act, update_id: str
    ) -> Outcome:
        """Where the rows say that the team lives, its workflow is started with the act; else they are the answer."""
        team = await self._read(team_id)  # again: it may have ended meanwhile
        if team.status is not TeamStatus.FORMING:
            detail = f"The team was {team.status} already."
            return await record_unchanged(self._database, f"team/{team_id}", name, act, detail, datetime.now(UTC))
        facts, status = (await read_team_facts(self._database, [team_id]))[team_id]
        start = team_start(facts, status, local_activities=self._settings.local_activities)
        async with translate_update_errors(), retrieve_start_failure(start):
            outcome: Outcome = await self._client.execute_update_with_start_workflow(
                name, argument, start_workflow_operation=start, id=update_id, result_type=Outcome
            )
        return outcome

    async def _read(self, team_id: str) -> Team:
        team = await read_team(self._database, None, team_id)
        if team is None:
            raise Refusal(ErrorCode.TEAM_NOT_FOUND, f"There is no team {team_id}.")
        return team


def _act(by: Author, reason: str, act_id: str) -> Act:
    return Act(id=act_id or uuid.uuid4().hex, author=by, reason=reason)
