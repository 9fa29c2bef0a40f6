"""Teams of every mall, and the operators' signals to them."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import ContainerDep, OpsDep
from api.http.pagination import Cursor, Limit, Page, page, position
from api.http.query_params import CampaignQuery
from api.http.responses import Accepted
from api.openapi.declarations import refuses
from db.teams.queries import TeamFilter, list_teams, read_team
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import TeamStatus
from domain.schemas.teams import OpsTeam, Team
from domain.types import Identifier, Note, Schema, TeamId

router = APIRouter(prefix="/v1/ops/teams", tags=["operations"])

TEAM_OVER = refuses(ErrorCode.TEAM_CLOSED)


class Extension(Schema):
    minutes: Annotated[int, Query(ge=1, le=525_600)]


class TeamReason(Schema):
    reason: Note = ""


@router.get("")
async def get_teams(
    _ops: OpsDep,
    container: ContainerDep,
    source: Identifier | None = None,
    campaign_id: CampaignQuery = None,
    goods_id: Identifier | None = None,
    status: TeamStatus | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[OpsTeam]:
    """List teams, newest first."""
    filters = TeamFilter(source=source, campaign_id=campaign_id, goods_id=goods_id, status=status)
    rows = await list_teams(container.database, filters, position(cursor), limit + 1)
    return page(container.links.fill_all(rows), limit, lambda team: (team.opened_at, team.team_id))


@router.get("/{team_id}")
async def get_team(team_id: TeamId, _ops: OpsDep, container: ContainerDep) -> Team:
    team = await read_team(container.database, None, team_id)
    if team is None:
        raise Refusal(ErrorCode.TEAM_NOT_FOUND, f"There is no team {team_id}.")
    return container.links.fill(team)


@router.post("/{team_id}/extend", status_code=202, openapi_extra=TEAM_OVER)
async def extend(team_id: TeamId, body: Extension, ops: OpsDep, container: ContainerDep) -> Accepted:
    """Move a forming team's deadline."""
    await container.teams.signal(team_id, "extend", {"minutes": body.minutes, "operator": ops.operator})
    return Accepted()


@router.post("/{team_id}/complete", status_code=202, openapi_extra=TEAM_OVER)
async def complete(team_id: TeamId, body: TeamReason, ops: OpsDep, container: ContainerDep) -> Accepted:
    """Complete a forming team with its paid members."""
    await container.teams.signal(team_id, "complete", {"reason": body.reason, "operator": ops.operator})
    return Accepted()


@router.post("/{team_id}/close", status_code=202, openapi_extra=TEAM_OVER)
async def close(team_id: TeamId, body: TeamReason, ops: OpsDep, container: ContainerDep) -> Accepted:
    """Fail a forming team, and refund its paid members."""
    await container.teams.signal(team_id, "close", {"reason": body.reason, "operator": ops.operator})
    return Accepted()
