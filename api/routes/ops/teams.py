"""Teams of every mall, and what operators do to them."""

from typing import Annotated

from fastapi import Query

from api.dependencies import ContainerDep, OpsDep
from api.http.filters import TeamFilters
from api.http.pagination import Cursor, Limit, Page, page, position
from api.http.routing import api_router
from db.teams.queries import list_teams, read_team, team_key
from domain.errors import ErrorCode, Refusal
from domain.schemas.acts import TeamOutcome
from domain.schemas.teams import OpsTeam, Team
from domain.types import Note, Schema, TeamId

router = api_router("/v1/ops/teams", tags=["operations"])


class TeamReason(Schema):
    reason: Note = ""


class Extension(TeamReason):
    minutes: Annotated[int, Query(ge=1, le=525_600)]


@router.get("")
async def get_teams(
    _ops: OpsDep,
    container: ContainerDep,
    filters: TeamFilters,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[OpsTeam]:
    """List teams, newest first."""
    rows = await list_teams(container.database, filters, position(cursor), limit + 1)
    return page(container.links.fill_all(rows), limit, team_key)


@router.get("/{team_id}")
async def get_team(team_id: TeamId, _ops: OpsDep, container: ContainerDep) -> Team:
    team = await read_team(container.database, None, team_id)
    if team is None:
        raise Refusal(ErrorCode.TEAM_NOT_FOUND, f"There is no team {team_id}.")
    return container.links.fill(team)


@router.post("/{team_id}/extend")
async def extend(team_id: TeamId, body: Extension, ops: OpsDep, container: ContainerDep) -> TeamOutcome:
    """Move a forming team's deadline."""
    outcome, team = await container.teams.extend(team_id, body.minutes, by=ops, reason=body.reason)
    return container.links.fill(TeamOutcome(**outcome.model_dump(), team=team))


@router.post("/{team_id}/complete")
async def complete(team_id: TeamId, body: TeamReason, ops: OpsDep, container: ContainerDep) -> TeamOutcome:
    """Complete a forming team with its paid members."""
    outcome, team = await container.teams.complete(team_id, by=ops, reason=body.reason)
    return container.links.fill(TeamOutcome(**outcome.model_dump(), team=team))


@router.post("/{team_id}/close")
async def close(team_id: TeamId, body: TeamReason, ops: OpsDep, container: ContainerDep) -> TeamOutcome:
    """Fail a forming team, and refund its paid members."""
    outcome, team = await container.teams.close(team_id, by=ops, reason=body.reason)
    return container.links.fill(TeamOutcome(**outcome.model_dump(), team=team))
