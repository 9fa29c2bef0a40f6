"""Callbacks: the list, an event with every attempt, and sending again."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import ValidationError
from starlette.responses import Response

from api.dependencies import ContainerDep
from api.http.pagination import Cursor, callback_position, page
from console.access import FormDep, OperatorDep, SupportDep, ViewerDep
from console.filters import CallbackFilters
from console.forms import act_id_of, field_problems, form_fields, from_texts, new_act_id
from console.lists import ROWS, version
from console.rendering import done, go_to, render
from console.sparklines import mall_callbacks
from db.callbacks.mass_redelivery import read_redelivery
from db.callbacks.queries import list_callbacks, read_callback
from db.statistics import list_mall_statistics
from domain.errors import ErrorCode, Refusal
from domain.schemas.events import EventType
from domain.schemas.redeliveries import RedeliveryRange
from domain.types import Identifier

router = APIRouter()

MALLS = 50
PERIOD = timedelta(days=30)
STATUSES = ("pending", "delivered", "dead", "closed")


@router.get("/callbacks")
async def callbacks(
    request: Request, _viewer: ViewerDep, container: ContainerDep, filters: CallbackFilters, cursor: Cursor = None
) -> Response:
    rows = await list_callbacks(container.database, filters, callback_position(cursor), ROWS + 1)
    row_ids = {id(callback): row_id for row_id, callback in rows}
    found = page([callback for _, callback in rows], ROWS, lambda callback: (callback.occurred_at, row_ids[id(callback)]))
    return render(
        request,
        "callbacks/list.html",
        callbacks=found.data,
        next_cursor=found.next_cursor,
        statuses=STATUSES,
        types=list(EventType),
        act_id=new_act_id(),
        version=version(rows),
    )


@router.get("/callbacks/malls")
async def malls(request: Request, _viewer: ViewerDep, container: ContainerDep) -> Response:
    """How quickly malls took their callbacks, and how often they did not. Apart from the list, which does not wait for it."""
    since = datetime.now(UTC).date() - PERIOD
    days = await list_mall_statistics(container.database, since, MALLS)
    return render(request, "callbacks/malls.html", malls=mall_callbacks(days))


@router.get("/callbacks/resend")
async def ask_range(request: Request, _operator: OperatorDep, source: Identifier | None = None) -> Response:
    fields = form_fields(RedeliveryRange, {"source": source or "", "status": "dead"})
    return render(request, "callbacks/range.html", fields=fields, act_id=new_act_id())


@router.post("/callbacks/resend")
async def resend_range(request: Request, operator: OperatorDep, container: ContainerDep, form: FormDep) -> Response:
    try:
        wanted = RedeliveryRange.model_validate(from_texts(RedeliveryRange, form))
    except ValidationError as exc:
        fields = form_fields(RedeliveryRange, form, field_problems(exc))
        return render(request, "callbacks/range.html", 422, fields=fields, act_id=new_act_id())
    redelivery = await container.callbacks.redeliver_range(wanted, by=operator.author, act_id=act_id_of(form))
    return go_to(request, f"/callbacks/resend/{redelivery.redelivery_id}")


@router.post("/callbacks/resend_selected")
async def resend_selected(request: Request, operator: SupportDep, container: ContainerDep, form: FormDep) -> Response:
    """Sends the events again that are ticked in the list."""
    event_ids = list(dict.fromkeys(form.get("event_id", "").split()))[:ROWS]
    act_id, resend = act_id_of(form), container.callbacks.redeliver_by_operator
    outcomes = [await resend(event_id, by=operator.author, act_id=act_id) for event_id in event_ids]
    changed = sum(outcome.changed for outcome, _ in outcomes)
    return done(request, "/callbacks", changed=changed > 0, detail=f"{changed} / {len(event_ids)}")


@router.get("/callbacks/resend/{redelivery_id}")
async def redelivery(
    request: Request, redelivery_id: Annotated[int, Path(ge=1, lt=2**63)], _viewer: ViewerDep, container: ContainerDep
) -> Response:
    found = await read_redelivery(container.database, redelivery_id)
    if found is None:
        raise Refusal(ErrorCode.REDELIVERY_NOT_FOUND, f"There is no redelivery {redelivery_id}.")
    return render(request, "callbacks/redelivery.html", redelivery=container.links.fill(found))


@router.get("/callbacks/{event_id}")
async def callback(request: Request, event_id: Identifier, _viewer: ViewerDep, container: ContainerDep) -> Response:
    found = await read_callback(container.database, event_id)
    if found is None:
        raise Refusal(ErrorCode.EVENT_NOT_FOUND, f"There is no event {event_id}.")
    return render(request, "callbacks/callback.html", callback=found, act_id=new_act_id())


@router.post("/callbacks/{event_id}/resend")
async def resend(
    request: Request, event_id: Identifier, operator: SupportDep, container: ContainerDep, form: FormDep
) -> Response:
    outcome, _ = await container.callbacks.redeliver_by_operator(event_id, by=operator.author, act_id=act_id_of(form))
    return done(request, f"/callbacks/{event_id}", changed=outcome.changed, detail=outcome.detail)
