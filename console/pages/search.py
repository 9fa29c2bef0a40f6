"""One box for whatever a person has in hand: an order's number, a buyer or a team."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from api.dependencies import ContainerDep
from console.access import ViewerDep
from console.rendering import go_to, render
from db.orders.queries import OrderFilter, list_ops_orders
from db.teams.queries import read_team
from domain.types import Identifier

router = APIRouter()

IDENTIFIER: TypeAdapter[str] = TypeAdapter(Identifier)


@router.get("/search")
async def search(
    request: Request, _viewer: ViewerDep, container: ContainerDep, q: Annotated[str, Query(max_length=64)] = ""
) -> Response:
    """Goes to the page of what was found: a team, the only order of this number, or the orders of this number or buyer."""
    try:
        wanted = IDENTIFIER.validate_python(q)
    except ValidationError:
        return render(request, "search.html", 404, wanted=q)
    if await read_team(container.database, None, wanted):
        return go_to(request, f"/teams/{wanted}")
    orders = await list_ops_orders(container.database, OrderFilter(out_trade_no=wanted), None, 2)
    if len(orders) == 1:
        return go_to(request, f"/orders/{orders[0].order_id}")
    if orders:
        return go_to(request, f"/orders?{urlencode({'out_trade_no': wanted})}")
    if await list_ops_orders(container.database, OrderFilter(user_id=wanted), None, 1):
        return go_to(request, f"/orders?{urlencode({'user_id': wanted})}")
    if await list_ops_orders(container.database, OrderFilter(order_id=wanted), None, 1):
        return go_to(request, f"/orders/{wanted}")
    return render(request, "search.html", 404, wanted=wanted)
