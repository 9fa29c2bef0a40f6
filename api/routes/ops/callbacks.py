"""Callbacks of every mall, their attempts, and redelivery."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from api.dependencies import ContainerDep, OpsDep
from api.http.pagination import Cursor, Limit, Page, callback_position, page
from api.http.responses import Redelivered
from db.callbacks.queries import CallbackFilter, list_callbacks, read_callback
from domain.errors import ErrorCode, Refusal
from domain.schemas.callbacks import OpsCallback, OpsCallbackAttempts
from domain.schemas.events import EventType
from domain.types import Identifier, Moment, Schema

router = APIRouter(prefix="/v1/ops/callbacks", tags=["operations"])


class RedeliveryRange(Schema):
    source: Identifier
    since: Moment
    until: Moment
    status: Annotated[Literal["dead", "delivered", "pending"], Field(description="of the callbacks to send again")] = "dead"


@router.get("")
async def get_callbacks(
    _ops: OpsDep,
    container: ContainerDep,
    status: Literal["pending", "delivered", "dead", "closed"] | None = None,
    source: Identifier | None = None,
    type: EventType | None = None,  # noqa: A002 - the name of the query's parameter
    event_id: Identifier | None = None,
    since: Annotated[Moment | None, Query(description="events at or after this time")] = None,
    until: Annotated[Moment | None, Query(description="events before this time")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[OpsCallback]:
    """List callbacks, newest event first, one item per address; `status=dead` finds those that were given up."""
    filters = CallbackFilter(status=status, source=source, type=type, event_id=event_id, since=since, until=until)
    rows = await list_callbacks(container.database, filters, callback_position(cursor), limit + 1)
    row_ids = {id(callback): row_id for row_id, callback in rows}
    return page([callback for _, callback in rows], limit, lambda callback: (callback.occurred_at, row_ids[id(callback)]))


@router.get("/{event_id}")
async def get_callback(event_id: Identifier, _ops: OpsDep, container: ContainerDep) -> OpsCallbackAttempts:
    """Get an event with its addresses and every attempt."""
    found = await read_callback(container.database, event_id)
    if found is None:
        raise Refusal(ErrorCode.EVENT_NOT_FOUND, f"There is no event {event_id}.")
    return found


@router.post("/resend", status_code=202)
async def resend_range(body: RedeliveryRange, ops: OpsDep, container: ContainerDep) -> Redelivered:
    """Send a mall's events of a period again: the dead ones, unless another status is named."""
    count = await container.callbacks.redeliver_range(body.source, body.since, body.until, body.status, by=ops.operator)
    return Redelivered(count=count)


@router.post("/{event_id}/resend", status_code=202)
async def resend_callback(event_id: Identifier, ops: OpsDep, container: ContainerDep) -> Redelivered:
    """Send an event again now, under the same id, whether it was delivered, is pending or dead."""
    return Redelivered(count=await container.callbacks.redeliver_event(event_id, by=ops.operator))
