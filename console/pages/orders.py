"""Orders: the search, an order with its refunds and timeline, and undoing one."""

from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.container import Container
from api.dependencies import ContainerDep
from api.http.filters import OrderFilters
from api.http.pagination import Cursor, EntryNumber, page, position
from console.access import FormDep, Operator, SupportDep, ViewerDep
from console.forms import FormError, ReasonedAct, new_act_id, validated
from console.lists import ROWS, version
from console.problems import FieldProblem
from console.rendering import done, render
from console.roles import Role
from console.timeline import timeline_with_runs
from db.orders.queries import OrderFilter, list_ops_orders, order_key
from db.refunds.queries import RefundFilter, RefundLookup, list_refunds, look_up_refund_of_order
from db.teams.queries import count_team_changes
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import OrderStatus, RefundStep, decide_refund
from domain.schemas.orders import OpsOrder
from domain.types import Identifier

router = APIRouter()

MAX_ATTEMPTS = 20


class RefundForm(ReasonedAct):
    force: Literal["", "true"] = ""


@router.get("/orders")
async def orders(
    request: Request, _viewer: ViewerDep, container: ContainerDep, filters: OrderFilters, cursor: Cursor = None
) -> Response:
    rows = await list_ops_orders(container.database, filters, position(cursor), ROWS + 1)
    found = page(rows, ROWS, order_key)
    return render(
        request,
        "orders/list.html",
        orders=found.data,
        next_cursor=found.next_cursor,
        statuses=list(OrderStatus),
        act_id=new_act_id(),
        version=version(rows),
    )


@router.get("/orders/{order_id}")
async def order(
    request: Request, order_id: Identifier, _viewer: ViewerDep, container: ContainerDep, before: EntryNumber = None
) -> Response:
    found = await _read(container, order_id)
    counts = await count_team_changes(container.database, [found.team_id])
    found = await _read(container, order_id)  # again: what changes after they were counted is told
    filters = RefundFilter(source=found.source, out_trade_no=found.out_trade_no)
    refunds = await list_refunds(container.database, filters, None, MAX_ATTEMPTS)
    return render(
        request,
        "orders/order.html",
        order=found,
        changes=counts.get(found.team_id, 0),
        refunds=container.links.fill_all(refunds),
        timeline=await timeline_with_runs(container, found.team_id, refunds, order_id, before),
        may_be_refunded=found.status in {OrderStatus.LOCKED, OrderStatus.PAID},
    )


@router.get("/orders/{order_id}/refund")
async def ask(request: Request, order_id: Identifier, operator: SupportDep, container: ContainerDep) -> Response:
    return await _ask(request, container, operator, order_id, {})


@router.post("/orders/{order_id}/refund")
async def refund(
    request: Request, order_id: Identifier, operator: SupportDep, container: ContainerDep, form: FormDep
) -> Response:
    try:
        fields = validated(RefundForm, form)
    except FormError as error:
        return await _ask(request, container, operator, order_id, form, error.errors)
    if fields.seen != state(await _look_up(container, order_id)):
        return await _ask(request, container, operator, order_id, form, has_changed=True)
    force = fields.force == "true"
    if force and operator.role < Role.OPERATOR:
        raise Refusal(ErrorCode.FORBIDDEN, "To force a refund needs the role operator.")
    outcome, _ = await container.refunds.refund_by_operator(
        order_id, by=operator.author, reason=fields.reason, force=force, act_id=fields.act_id
    )
    return done(request, f"/orders/{order_id}", changed=outcome.changed, detail=outcome.detail)


async def _ask(
    request: Request,
    container: Container,
    operator: Operator,
    order_id: str,
    form: dict[str, str],
    errors: list[FieldProblem] | None = None,
    *,
    has_changed: bool = False,
) -> Response:
    """Shows what a refund of the order as it is now would do."""
    found, lookup = await _read(container, order_id), await _look_up(container, order_id)
    return render(
        request,
        "orders/refund.html",
        409 if has_changed else 422 if errors else 200,
        order=found,
        step=_step(lookup, force=False),
        may_force=operator.role >= Role.OPERATOR,
        form=form,
        errors=errors or [],
        has_changed=has_changed,
        seen=state(lookup),
        act_id=new_act_id(),
    )


def _step(lookup: RefundLookup, *, force: bool) -> RefundStep:
    """What a refund would do now. The platform returns by itself what is owed."""
    if lookup.is_owed:
        return RefundStep.NO_CHANGE
    in_window = lookup.window.is_open(datetime.now(UTC))
    return decide_refund(lookup.order_status, lookup.team_status, in_window=in_window, force=force)


def state(lookup: RefundLookup) -> str:
    """What a person saw when they decided; an act on another state is asked again."""
    return f"{lookup.order_status} {lookup.team_status} {_step(lookup, force=False)}"


async def _read(container: Container, order_id: str) -> OpsOrder:
    found = await list_ops_orders(container.database, OrderFilter(order_id=order_id), None, 1)
    if not found:
        raise _not_found(order_id)
    return container.links.fill(found[0])


async def _look_up(container: Container, order_id: str) -> RefundLookup:
    found = await look_up_refund_of_order(container.database, order_id)
    if found is None:
        raise _not_found(order_id)
    return found


def _not_found(order_id: str) -> Refusal:
    return Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {order_id}.")
