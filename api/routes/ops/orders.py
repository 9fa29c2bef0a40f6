"""Orders of every mall."""

from api.dependencies import ContainerDep, OpsDep
from api.http.filters import OrderFilters
from api.http.pagination import Cursor, Limit, Page, page, position
from api.http.routing import api_router
from db.orders.queries import list_ops_orders, order_key
from domain.schemas.orders import OpsOrder

router = api_router("/v1/ops/orders", tags=["operations"])


@router.get("")
async def get_orders(
    _ops: OpsDep,
    container: ContainerDep,
    filters: OrderFilters,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[OpsOrder]:
    """List orders, newest first; `owed=true` finds those whose money is still to be returned."""
    rows = await list_ops_orders(container.database, filters, position(cursor), limit + 1)
    return page(container.links.fill_all(rows), limit, order_key)
