"""A mall's teams."""

from api.dependencies import ContainerDep, MallDep
from api.http.pagination import Cursor, Limit, Page, page, position
from api.http.routing import api_router
from db.orders.queries import OrderFilter, list_orders
from db.teams.queries import read_team
from domain.errors import ErrorCode, Refusal
from domain.schemas.orders import Order
from domain.schemas.teams import Team
from domain.types import TeamId

router = api_router("/v1/teams", tags=["mall"])


@router.get("/{team_id}")
async def get_team(team_id: TeamId, mall: MallDep, container: ContainerDep) -> Team:
    """Get a team with its live members."""
    team = await read_team(container.database, mall.source, team_id)
    if team is None:
        raise Refusal(ErrorCode.TEAM_NOT_FOUND, f"There is no team {team_id}.")
    return container.links.fill(team)


@router.get("/{team_id}/orders")
async def get_team_orders(
    team_id: TeamId, mall: MallDep, container: ContainerDep, limit: Limit = 20, cursor: Cursor = None
) -> Page[Order]:
    """List all orders of a team, newest first, with those who left."""
    filters = OrderFilter(source=mall.source, team_id=team_id)
    rows = await list_orders(container.database, filters, position(cursor), limit + 1)
    if not rows and await read_team(container.database, mall.source, team_id) is None:
        raise Refusal(ErrorCode.TEAM_NOT_FOUND, f"There is no team {team_id}.")
    return page(container.links.fill_all(rows), limit, lambda order: (order.locked_at, order.order_id))
