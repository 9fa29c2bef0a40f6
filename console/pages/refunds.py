"""Refunds: the list, and what operators do to one that waits."""

from enum import StrEnum

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.container import Container
from api.dependencies import ContainerDep
from api.http.filters import RefundFilters
from api.http.pagination import Cursor, page, position
from console.access import FormDep, Operator, SupportDep, ViewerDep
from console.forms import ActFields, FormError, ReasonedAct, new_act_id, validated
from console.lists import ROWS, version
from console.problems import FieldProblem
from console.rendering import done, render
from console.roles import Role
from db.refunds.queries import list_refunds, look_up_refund_of_order, refund_key
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import RefundKind, RefundStatus
from domain.messages.refunds import RefundAction
from domain.schemas.refunds import Refund
from domain.types import Identifier

router = APIRouter()


class RefundAct(StrEnum):
    RESEND = "resend"
    APPROVE = "approve"
    VETO = "veto"
    CLOSE_MANUALLY = "close_manually"


ACTIONS = {
    RefundAct.RESEND: RefundAction.RESEND,
    RefundAct.APPROVE: RefundAction.DECIDE,
    RefundAct.VETO: RefundAction.DECIDE,
    RefundAct.CLOSE_MANUALLY: RefundAction.CLOSE_MANUALLY,
}


@router.get("/refunds")
async def refunds(
    request: Request, _viewer: ViewerDep, container: ContainerDep, filters: RefundFilters, cursor: Cursor = None
) -> Response:
    rows = await list_refunds(container.database, filters, position(cursor), ROWS + 1)
    found = page(rows, ROWS, refund_key)
    return render(
        request,
        "refunds/list.html",
        refunds=found.data,
        next_cursor=found.next_cursor,
        statuses=list(RefundStatus),
        kinds=list(RefundKind),
        act_id=new_act_id(),
        version=version(rows),
    )


@router.get("/refunds/{order_id}/{act}")
async def ask(
    request: Request, order_id: Identifier, act: RefundAct, operator: SupportDep, container: ContainerDep
) -> Response:
    _require_role(operator, act)
    return await _ask(request, container, order_id, act, {})


@router.post("/refunds/{order_id}/{act}")
async def do(
    request: Request, order_id: Identifier, act: RefundAct, operator: SupportDep, container: ContainerDep, form: FormDep
) -> Response:
    _require_role(operator, act)
    try:
        fields = validated(ActFields if act is RefundAct.RESEND else ReasonedAct, form)
    except FormError as error:
        return await _ask(request, container, order_id, act, form, error.errors)
    if fields.seen != state(await _read(container, order_id)):
        return await _ask(request, container, order_id, act, form, has_changed=True)
    outcome, _ = await container.refunds.act(
        order_id,
        ACTIONS[act],
        by=operator.author,
        note=fields.reason if isinstance(fields, ReasonedAct) else "",
        approve=act is RefundAct.APPROVE,
        act_id=fields.act_id,
    )
    return done(request, f"/orders/{order_id}", changed=outcome.changed, detail=outcome.detail)


def _require_role(operator: Operator, act: RefundAct) -> None:
    if act is not RefundAct.RESEND and operator.role < Role.OPERATOR:
        raise Refusal(ErrorCode.FORBIDDEN, "This needs the role operator.")


async def _ask(
    request: Request,
    container: Container,
    order_id: str,
    act: RefundAct,
    form: dict[str, str],
    errors: list[FieldProblem] | None = None,
    *,
    has_changed: bool = False,
) -> Response:
    refund = await _read(container, order_id)
    return render(
        request,
        "refunds/act.html",
        409 if has_changed else 422 if errors else 200,
        refund=refund,
        act=act,
        form=form,
        errors=errors or [],
        has_changed=has_changed,
        seen=state(refund),
        act_id=new_act_id(),
    )


async def _read(container: Container, order_id: str) -> Refund:
    found = await look_up_refund_of_order(container.database, order_id)
    if found is None or found.refund is None:
        raise Refusal(ErrorCode.REFUND_NOT_FOUND, f"There is no refund of an order {order_id}.")
    return found.refund


def state(refund: Refund) -> str:
    """What a person saw when they decided; an act on another state is asked again."""
    return f"{refund.kind} {refund.status} {refund.workflow.id}"
