"""Refunds of every mall, and the operators' decisions on them."""

from typing import Annotated

from fastapi import Request
from pydantic import Field

from api.dependencies import ContainerDep, OpsDep, SupportDep, require_scope
from api.http.filters import RefundFilters
from api.http.pagination import Cursor, Limit, Page, page, position
from api.http.routing import api_router
from api.openapi.declarations import refuses
from db.refunds.queries import list_refunds, refund_key
from domain.errors import ErrorCode
from domain.messages.refunds import RefundAction
from domain.schemas.acts import RefundOutcome
from domain.schemas.refunds import OpsRefund
from domain.scopes import Scope
from domain.types import Identifier, Note, Schema

router = api_router("/v1/ops", tags=["operations"])

NO_REFUND = refuses(ErrorCode.REFUND_NOT_FOUND)


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
    filters: RefundFilters,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[OpsRefund]:
    """List refunds, newest first, with every attempt."""
    rows = await list_refunds(container.database, filters, position(cursor), limit + 1)
    return page(container.links.fill_all(rows), limit, refund_key)


@router.post("/orders/{order_id}/refund", openapi_extra=refuses(ErrorCode.REFUND_WINDOW_CLOSED))
async def refund(
    order_id: Identifier, ops: SupportDep, container: ContainerDep, request: Request, body: ForcedRefund | None = None
) -> RefundOutcome:
    """Undo an order; with `force`, for which the scope `ops` is needed, also after the refund window."""
    body = body or ForcedRefund()
    if body.force:
        require_scope(request, Scope.OPS)
    outcome, found = await container.refunds.refund_by_operator(order_id, by=ops, reason=body.reason, force=body.force)
    return container.links.fill(RefundOutcome(**outcome.model_dump(), refund=found))


@router.post("/refunds/{order_id}/decision", openapi_extra=NO_REFUND)
async def decide(order_id: Identifier, body: Decision, ops: OpsDep, container: ContainerDep) -> RefundOutcome:
    """Answer for the mall, while it is being asked for its consent."""
    outcome, found = await container.refunds.act(order_id, RefundAction.DECIDE, by=ops, note=body.note, approve=body.approve)
    return container.links.fill(RefundOutcome(**outcome.model_dump(), refund=found))


@router.post("/refunds/{order_id}/resend", openapi_extra=NO_REFUND)
async def resend(order_id: Identifier, ops: SupportDep, container: ContainerDep) -> RefundOutcome:
    """Send the refund's callback again now."""
    outcome, found = await container.refunds.act(order_id, RefundAction.RESEND, by=ops)
    return container.links.fill(RefundOutcome(**outcome.model_dump(), refund=found))


@router.post("/refunds/{order_id}/close_manually", openapi_extra=NO_REFUND)
async def close_manually(
    order_id: Identifier, ops: OpsDep, container: ContainerDep, body: ManualClose | None = None
) -> RefundOutcome:
    """Finish a refund whose mall was told outside the platform."""
    note = body.note if body else ""
    outcome, found = await container.refunds.act(order_id, RefundAction.CLOSE_MANUALLY, by=ops, note=note)
    return container.links.fill(RefundOutcome(**outcome.model_dump(), refund=found))
