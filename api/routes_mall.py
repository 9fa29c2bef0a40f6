"""What a mall calls."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.openapi import REPLAYED, refuses, repeats
from api.pages import Cursor, Limit, Page, page, position
from api.platform import MallDep, PlatformDep
from db.refund_views import read_refund_place
from db.views import OrderFilter, list_orders, read_order, read_team
from domain.errors import ErrorCode, Refusal
from domain.messages import RefundRequest
from domain.refunds import Refund
from domain.trade import NewOrder, OpsOrder, Order, Payment, Settlement, Team
from domain.values import Identifier, Message, Note, TeamId

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
async def lock_seat(asked: NewOrder, mall: MallDep, platform: PlatformDep, response: Response) -> Order:
    """Hold a seat at the team price; without team_id, open a team."""
    order, replayed = await platform.trading.lock(mall, asked)
    mark_replayed(response, replayed=replayed)
    return order


@routes.get("/orders/{out_trade_no}")
async def get_order(out_trade_no: Identifier, mall: MallDep, platform: PlatformDep) -> Order:
    record = await read_order(platform.database, platform.history, mall.source, out_trade_no)
    if record is None:
        raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {out_trade_no}.")
    return record.order


@routes.get("/orders")
async def get_orders(
    mall: MallDep,
    platform: PlatformDep,
    user_id: Annotated[Identifier, Query()],
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[Order]:
    """A buyer's orders, newest first."""
    wanted = OrderFilter(source=mall.source, user_id=user_id)
    rows = await list_orders(platform.database, platform.history, wanted, position(cursor), limit + 1)
    found: Page[OpsOrder] = page(rows, limit, lambda order: (order.locked_at, order.order_id))
    orders = [Order(**{name: getattr(order, name) for name in Order.model_fields}) for order in found.data]
    return Page(data=orders, next_cursor=found.next_cursor)


@routes.post(
    "/orders/{out_trade_no}/payment",
    responses=repeats(Settlement),
    openapi_extra=refuses(ErrorCode.OUT_TRADE_NO_REUSED),
)
async def pay(
    out_trade_no: Identifier, payment: Payment, mall: MallDep, platform: PlatformDep, response: Response
) -> Settlement:
    """Report the payment that was taken for an order. It is a fact: what cannot be settled goes back."""
    settlement, replayed = await platform.trading.pay(mall, out_trade_no, payment)
    mark_replayed(response, replayed=replayed)
    return settlement


class RefundReason(Message):
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
    platform: PlatformDep,
    response: Response,
    asked: RefundReason | None = None,
) -> Refund:
    """Undo an order, in whatever state it is. A member of a completed team leaves only with the mall's consent."""
    request = RefundRequest(reason=asked.reason if asked else "")
    found, replayed = await platform.refunding.refund(mall.source, out_trade_no, request)
    mark_replayed(response, replayed=replayed)
    return found


@routes.get("/orders/{out_trade_no}/refund", openapi_extra=refuses(ErrorCode.REFUND_NOT_FOUND))
async def get_refund(out_trade_no: Identifier, mall: MallDep, platform: PlatformDep) -> Refund:
    place = await read_refund_place(platform.database, platform.history, mall.source, out_trade_no)
    if place is None:
        raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {out_trade_no}.")
    if place.refund is None:
        raise Refusal(ErrorCode.REFUND_NOT_FOUND, f"Order {out_trade_no} is {place.order_status}, and has no refund.")
    return place.refund


@routes.get("/teams/{team_id}")
async def get_team(team_id: TeamId, mall: MallDep, platform: PlatformDep) -> Team:
    """A team with its members."""
    team = await read_team(platform.database, platform.history, mall.source, team_id)
    if team is None:
        raise Refusal(ErrorCode.TEAM_NOT_FOUND, f"There is no team {team_id}.")
    return team


def mark_replayed(response: Response, *, replayed: bool) -> None:
    if replayed:
        response.status_code = 200
        response.headers[REPLAYED] = "true"
