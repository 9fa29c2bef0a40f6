"""What operators do to refunds, and what waits for them."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from api.dependencies import ContainerDep, OpsDep
from api.http.pagination import Cursor, Limit, Page, page, position
from api.openapi.document import refuses, repeats
from api.routes.ops.campaigns import Accepted
from api.routes.orders import mark_replayed
from db.attention import list_attention
from db.refunds.queries import RefundFilter, list_refunds, look_up_refund_of_order
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import RefundKind, RefundStatus
from domain.messages.refunds import RefundRequest
from domain.schemas.attention import Attention
from domain.schemas.refunds import OpsRefund, Refund
from domain.types import Identifier, Note, Schema, TeamId

routes = APIRouter(prefix="/v1/ops", tags=["operations"])


class ForcedRefund(Schema):
    reason: Note = ""
    force: Annotated[bool, Field(strict=True)] = False
    """sets the refund window aside"""


class Decision(Schema):
    approve: Annotated[bool, Field(strict=True)]
    note: Note = ""


class Remark(Schema):
    note: Note = ""


@routes.get("/refunds")
async def get_refunds(
    _ops: OpsDep,
    container: ContainerDep,
    source: Identifier | None = None,
    team_id: TeamId | None = None,
    out_trade_no: Identifier | None = None,
    kind: RefundKind | None = None,
    status: RefundStatus | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[OpsRefund]:
    """Refunds, newest first, every attempt."""
    wanted = RefundFilter(source=source, team_id=team_id, out_trade_no=out_trade_no, kind=kind, status=status)
    rows = await list_refunds(container.database, wanted, position(cursor), limit + 1)
    return page(container.links.fill_all(rows), limit, lambda refund: (refund.requested_at, refund.order_id))


@routes.get("/attention")
async def get_attention(_ops: OpsDep, container: ContainerDep, limit: Limit = 20, cursor: Cursor = None) -> Page[Attention]:
    """What waits for a person, newest first."""
    rows = await list_attention(container.database, position(cursor), limit + 1)
    return page(container.links.fill_all(rows), limit, lambda waiting: (waiting.since, waiting.subject))


@routes.post(
    "/orders/{order_id}/refund",
    status_code=202,
    responses=repeats(Refund),
    openapi_extra=refuses(ErrorCode.REFUND_WINDOW_CLOSED),
)
async def refund(
    order_id: Identifier, ops: OpsDep, container: ContainerDep, response: Response, asked: ForcedRefund | None = None
) -> Refund:
    """Undo an order; `force` sets the refund window aside."""
    asked = asked or ForcedRefund()
    place = await look_up_refund_of_order(container.database, order_id)
    if place is None:
        raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {order_id}.")
    request = RefundRequest(reason=asked.reason, operator=ops.key_name, force=asked.force)
    found, replayed = await container.refunding.refund(place.source, place.out_trade_no, request)
    mark_replayed(response, replayed=replayed)
    return container.links.fill(found)


@routes.post("/refunds/{order_id}/decision", status_code=202, openapi_extra=refuses(ErrorCode.REFUND_NOT_FOUND))
async def decide(order_id: Identifier, asked: Decision, ops: OpsDep, container: ContainerDep) -> Accepted:
    """Answer in the mall's place, while it is being asked."""
    payload = {"approve": asked.approve, "note": asked.note, "operator": ops.key_name}
    await container.refunding.signal(order_id, "decide", payload)
    return Accepted()


@routes.post("/refunds/{order_id}/resend", status_code=202, openapi_extra=refuses(ErrorCode.REFUND_NOT_FOUND))
async def resend(order_id: Identifier, ops: OpsDep, container: ContainerDep) -> Accepted:
    """Tell the mall again, now."""
    await container.refunding.signal(order_id, "resend", {"operator": ops.key_name})
    return Accepted()


@routes.post("/refunds/{order_id}/close_manually", status_code=202, openapi_extra=refuses(ErrorCode.REFUND_NOT_FOUND))
async def close_manually(order_id: Identifier, ops: OpsDep, container: ContainerDep, asked: Remark | None = None) -> Accepted:
    """The mall was told outside the platform."""
    payload = {"note": asked.note if asked else "", "operator": ops.key_name}
    await container.refunding.signal(order_id, "close_manually", payload)
    return Accepted()
