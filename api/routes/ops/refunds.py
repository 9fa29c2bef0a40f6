"""Refunds of every mall, and the operators' decisions on them."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from api.dependencies import ContainerDep, OpsDep
from api.http.pagination import Cursor, Limit, Page, page, position
from api.http.responses import Accepted, mark_replayed
from api.openapi.declarations import refuses, repeats
from db.refunds.queries import RefundFilter, list_refunds
from domain.errors import ErrorCode
from domain.lifecycle import RefundKind, RefundStatus
from domain.messages.refunds import RefundRequest
from domain.schemas.refunds import OpsRefund, Refund
from domain.types import Identifier, Note, Schema, TeamId

router = APIRouter(prefix="/v1/ops", tags=["operations"])

NONE_UNDER_WAY = refuses(ErrorCode.REFUND_NOT_FOUND)


class ForcedRefund(Schema):
    reason: Note = ""
    force: Annotated[bool, Field(strict=True)] = False
    """refund also after the refund window"""


class Decision(Schema):
    approve: Annotated[bool, Field(strict=True)]
    note: Note = ""


class ManualClose(Schema):
    note: Note = ""


@router.get("/refunds")
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
    """List refunds, newest first, with every attempt."""
    filters = RefundFilter(source=source, team_id=team_id, out_trade_no=out_trade_no, kind=kind, status=status)
    rows = await list_refunds(container.database, filters, position(cursor), limit + 1)
    return page(container.links.fill_all(rows), limit, lambda refund: (refund.requested_at, refund.order_id))


@router.post(
    "/orders/{order_id}/refund",
    status_code=202,
    responses=repeats(Refund),
    openapi_extra=refuses(ErrorCode.REFUND_WINDOW_CLOSED),
)
async def refund(
    order_id: Identifier, ops: OpsDep, container: ContainerDep, response: Response, body: ForcedRefund | None = None
) -> Refund:
    """Undo an order; with `force`, also after the refund window."""
    body = body or ForcedRefund()
    request = RefundRequest(reason=body.reason, operator=ops.operator, force=body.force)
    found, replayed = await container.refunds.refund_by_id(order_id, request)
    mark_replayed(response, replayed=replayed)
    return container.links.fill(found)


@router.post("/refunds/{order_id}/decision", status_code=202, openapi_extra=NONE_UNDER_WAY)
async def decide(order_id: Identifier, body: Decision, ops: OpsDep, container: ContainerDep) -> Accepted:
    """Answer for the mall, while it is being asked for its consent."""
    payload = {"approve": body.approve, "note": body.note, "operator": ops.operator}
    await container.refunds.signal(order_id, "decide", payload)
    return Accepted()


@router.post("/refunds/{order_id}/resend", status_code=202, openapi_extra=NONE_UNDER_WAY)
async def resend(order_id: Identifier, ops: OpsDep, container: ContainerDep) -> Accepted:
    """Send the refund's callback again now."""
    await container.refunds.signal(order_id, "resend", {"operator": ops.operator})
    return Accepted()


@router.post("/refunds/{order_id}/close_manually", status_code=202, openapi_extra=NONE_UNDER_WAY)
async def close_manually(
    order_id: Identifier, ops: OpsDep, container: ContainerDep, body: ManualClose | None = None
) -> Accepted:
    """Finish a refund whose mall was told outside the platform."""
    await container.refunds.signal(order_id, "close_manually", {"note": body.note if body else "", "operator": ops.operator})
    return Accepted()
