"""Orders of every mall."""

from fastapi import APIRouter

from api.dependencies import ContainerDep, OpsDep
from api.http.pagination import Cursor, Limit, Page, page, position
from api.http.query_params import CampaignQuery
from db.orders.queries import OrderFilter, list_ops_orders
from domain.lifecycle import OrderStatus
from domain.schemas.orders import OpsOrder
from domain.types import Identifier, TeamId

router = APIRouter(prefix="/v1/ops/orders", tags=["operations"])


@router.get("")
async def get_orders(
    _ops: OpsDep,
    container: ContainerDep,
    source: Identifier | None = None,
    user_id: Identifier | None = None,
    team_id: TeamId | None = None,
    campaign_id: CampaignQuery = None,
    status: OrderStatus | None = None,
    out_trade_no: Identifier | None = None,
    owed: bool | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[OpsOrder]:
    """List orders, newest first; `owed=true` finds those whose money is still to be returned."""
    filters = OrderFilter(
        source=source,
        user_id=user_id,
        team_id=team_id,
        campaign_id=campaign_id,
        status=status,
        out_trade_no=out_trade_no,
        owed=owed,
    )
    rows = await list_ops_orders(container.database, filters, position(cursor), limit + 1)
    return page(container.links.fill_all(rows), limit, lambda order: (order.locked_at, order.order_id))
