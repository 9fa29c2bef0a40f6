"""A mall's teams."""

from fastapi import APIRouter

from api.dependencies import ContainerDep, MallDep
from db.teams.queries import read_team
from domain.errors import ErrorCode, Refusal
from domain.schemas.teams import Team
from domain.types import TeamId

router = APIRouter(prefix="/v1/teams", tags=["mall"])


@router.get("/{team_id}")
async def get_team(team_id: TeamId, mall: MallDep, container: ContainerDep) -> Team:
    """Get a team with its members."""
    team = await read_team(container.database, mall.source, team_id)
    if team is None:
        raise Refusal(ErrorCode.TEAM_NOT_FOUND, f"There is no team {team_id}.")
    return container.links.fill(team)
