"""Refunds of a mall's orders."""

from fastapi import Response

from api.dependencies import ContainerDep, MallDep
from api.http.responses import mark_replayed
from api.http.routing import api_router
from api.openapi.declarations import refuses, repeats
from db.refunds.queries import look_up_refund
from domain.errors import ErrorCode, Refusal
from domain.messages.refunds import RefundRequest
from domain.schemas.refunds import Refund
from domain.types import Identifier, Note, Schema

router = api_router("/v1/orders/{out_trade_no}/refund", tags=["mall"])


class RefundReason(Schema):
    reason: Note = ""


@router.post("", status_code=202, responses=repeats(Refund), openapi_extra=refuses(ErrorCode.REFUND_WINDOW_CLOSED))
async def refund(
    out_trade_no: Identifier,
    mall: MallDep,
    container: ContainerDep,
    response: Response,
    body: RefundReason | None = None,
) -> Refund:
    """Undo an order, whatever its status. A paid member of a completed team is refunded only with the mall's consent."""
    request = RefundRequest(reason=body.reason if body else "")
    found, replayed = await container.refunds.refund(mall.source, out_trade_no, request)
    mark_replayed(response, replayed=replayed)
    return container.links.fill(found)


@router.get("", openapi_extra=refuses(ErrorCode.REFUND_NOT_FOUND))
async def get_refund(out_trade_no: Identifier, mall: MallDep, container: ContainerDep) -> Refund:
    found = await look_up_refund(container.database, mall.source, out_trade_no)
    if found is None:
        raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {out_trade_no}.")
    if found.refund is None:
        raise Refusal(ErrorCode.REFUND_NOT_FOUND, f"Order {out_trade_no} is {found.order_status}, and has no refund.")
    return container.links.fill(found.refund)
