"""A mall's orders: lock, read, pay."""

from typing import Annotated

from fastapi import Query, Response

from api.dependencies import ContainerDep, MallDep
from api.http.pagination import Cursor, Limit, Page, page, position
from api.http.responses import mark_replayed
from api.http.routing import api_router
from api.openapi.declarations import NOT_SOLD, SEAT_REFUSED, refuses, repeats
from db.orders.queries import OrderFilter, list_orders, read_order
from domain.errors import ErrorCode, Refusal
from domain.schemas.orders import NewOrder, Order, Payment, Settlement
from domain.types import Identifier

router = api_router("/v1/orders", tags=["mall"])


@router.post(
    "",
    status_code=201,
    responses=repeats(Order),
    openapi_extra=refuses(*NOT_SOLD, *SEAT_REFUSED, ErrorCode.OUT_TRADE_NO_REUSED),
)
async def lock_seat(new: NewOrder, mall: MallDep, container: ContainerDep, response: Response) -> Order:
    """Hold a seat at the team price; without team_id, open a team."""
    order, replayed = await container.orders.lock(mall, new)
    mark_replayed(response, replayed=replayed)
    return container.links.fill(order)


@router.get("/{out_trade_no}")
async def get_order(out_trade_no: Identifier, mall: MallDep, container: ContainerDep) -> Order:
    record = await read_order(container.database, mall.source, out_trade_no)
    if record is None:
        raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {out_trade_no}.")
    return container.links.fill(record.order)


@router.get("")
async def get_orders(
    mall: MallDep,
    container: ContainerDep,
    user_id: Annotated[Identifier, Query()],
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[Order]:
    """List a buyer's orders, newest first."""
    filters = OrderFilter(source=mall.source, user_id=user_id)
    rows = await list_orders(container.database, filters, position(cursor), limit + 1)
    return page(container.links.fill_all(rows), limit, lambda order: (order.locked_at, order.order_id))


@router.post(
    "/{out_trade_no}/payment",
    responses=repeats(Settlement),
    openapi_extra=refuses(ErrorCode.OUT_TRADE_NO_REUSED),
)
async def pay(
    out_trade_no: Identifier, payment: Payment, mall: MallDep, container: ContainerDep, response: Response
) -> Settlement:
    """Report the payment of an order. It is never refused: a payment that cannot be settled is refunded."""
    settlement, replayed = await container.orders.pay(mall, out_trade_no, payment)
    mark_replayed(response, replayed=replayed)
    return container.links.fill(settlement)
