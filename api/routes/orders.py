"""What a mall calls."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.dependencies import ContainerDep, MallDep
from api.http.pagination import Cursor, Limit, Page, page, position
from api.openapi.document import REPLAYED, refuses, repeats
from db.orders.queries import OrderFilter, list_orders, read_order
from db.refunds.queries import look_up_refund
from db.teams.queries import read_team
from domain.errors import ErrorCode, Refusal
from domain.messages.refunds import RefundRequest
from domain.schemas.orders import NewOrder, OpsOrder, Order, Payment, Settlement
from domain.schemas.refunds import Refund
from domain.schemas.teams import Team
from domain.types import Identifier, Note, Schema, TeamId

routes = APIRouter(prefix="/v1", tags=["mall"])

AGAINST_A_BUYER = (
    ErrorCode.CAMPAIGN_INACTIVE,
    ErrorCode.CAMPAIGN_NOT_OPEN,
    ErrorCode.AUDIENCE_RESTRICTED,
    ErrorCode.USER_OUTSIDE_ROLLOUT,
    ErrorCode.MALL_BLOCKED,
    ErrorCode.TAKE_LIMIT_REACHED,
    ErrorCode.STOCK_EXHAUSTED,
    ErrorCode.GROUP_BUYING_SUSPENDED,
)
NOT_SOLD_HERE = (ErrorCode.GOODS_NOT_FOUND, ErrorCode.CAMPAIGN_NOT_FOUND)
AGAINST_A_SEAT = (ErrorCode.TEAM_NOT_FOUND, ErrorCode.ALREADY_IN_TEAM, ErrorCode.TEAM_FULL, ErrorCode.TEAM_CLOSED)


@routes.post(
    "/orders",
    status_code=201,
    responses=repeats(Order),
    openapi_extra=refuses(*NOT_SOLD_HERE, *AGAINST_A_BUYER, *AGAINST_A_SEAT, ErrorCode.OUT_TRADE_NO_REUSED),
)
async def lock_seat(asked: NewOrder, mall: MallDep, container: ContainerDep, response: Response) -> Order:
    """Hold a seat at the team price; without team_id, open a team."""
    order, replayed = await container.trading.lock(mall, asked)
    mark_replayed(response, replayed=replayed)
    return container.links.fill(order)


@routes.get("/orders/{out_trade_no}")
async def get_order(out_trade_no: Identifier, mall: MallDep, container: ContainerDep) -> Order:
    record = await read_order(container.database, mall.source, out_trade_no)
    if record is None:
        raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {out_trade_no}.")
    return container.links.fill(record.order)


@routes.get("/orders")
async def get_orders(
    mall: MallDep,
    container: ContainerDep,
    user_id: Annotated[Identifier, Query()],
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[Order]:
    """A buyer's orders, newest first."""
    wanted = OrderFilter(source=mall.source, user_id=user_id)
    rows = await list_orders(container.database, wanted, position(cursor), limit + 1)
    found: Page[OpsOrder] = page(rows, limit, lambda order: (order.locked_at, order.order_id))
    orders = [Order(**{name: getattr(order, name) for name in Order.model_fields}) for order in found.data]
    return Page(data=container.links.fill_all(orders), next_cursor=found.next_cursor)


@routes.post(
    "/orders/{out_trade_no}/payment",
    responses=repeats(Settlement),
    openapi_extra=refuses(ErrorCode.OUT_TRADE_NO_REUSED),
)
async def pay(
    out_trade_no: Identifier, payment: Payment, mall: MallDep, container: ContainerDep, response: Response
) -> Settlement:
    """Report the payment that was taken for an order. It is a fact: what cannot be settled goes back."""
    settlement, replayed = await container.trading.pay(mall, out_trade_no, payment)
    mark_replayed(response, replayed=replayed)
    return container.links.fill(settlement)


class RefundReason(Schema):
    reason: Note = ""


@routes.post(
    "/orders/{out_trade_no}/refund",
    status_code=202,
    responses=repeats(Refund),
    openapi_extra=refuses(ErrorCode.REFUND_WINDOW_CLOSED),
)
async def refund(
    out_trade_no: Identifier,
    mall: MallDep,
    container: ContainerDep,
    response: Response,
    asked: RefundReason | None = None,
) -> Refund:
    """Undo an order, in whatever state it is. A member of a completed team leaves only with the mall's consent."""
    request = RefundRequest(reason=asked.reason if asked else "")
    found, replayed = await container.refunding.refund(mall.source, out_trade_no, request)
    mark_replayed(response, replayed=replayed)
    return container.links.fill(found)


@routes.get("/orders/{out_trade_no}/refund", openapi_extra=refuses(ErrorCode.REFUND_NOT_FOUND))
async def get_refund(out_trade_no: Identifier, mall: MallDep, container: ContainerDep) -> Refund:
    place = await look_up_refund(container.database, mall.source, out_trade_no)
    if place is None:
        raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {out_trade_no}.")
    if place.refund is None:
        raise Refusal(ErrorCode.REFUND_NOT_FOUND, f"Order {out_trade_no} is {place.order_status}, and has no refund.")
    return container.links.fill(place.refund)


@routes.get("/teams/{team_id}")
async def get_team(team_id: TeamId, mall: MallDep, container: ContainerDep) -> Team:
    """A team with its members."""
    team = await read_team(container.database, mall.source, team_id)
    if team is None:
        raise Refusal(ErrorCode.TEAM_NOT_FOUND, f"There is no team {team_id}.")
    return container.links.fill(team)


def mark_replayed(response: Response, *, replayed: bool) -> None:
    if replayed:
        response.status_code = 200
        response.headers[REPLAYED] = "true"
