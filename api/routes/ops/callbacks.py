"""What operators see of callbacks, and how they send them again."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from api.dependencies import ContainerDep, OpsDep
from api.http.pagination import Cursor, Limit, Page, callback_position, page
from api.routes.events import Resent
from db.callbacks.queries import CallbackFilter, list_callbacks, read_callback
from domain.errors import ErrorCode, Refusal
from domain.schemas.callbacks import OpsCallback, OpsCallbackAttempts
from domain.schemas.events import EventType
from domain.types import Identifier, Moment, Schema

routes = APIRouter(prefix="/v1/ops/callbacks", tags=["operations"])


class WantedRange(Schema):
    source: Identifier
    since: Moment
    until: Moment
    status: Annotated[Literal["dead", "delivered", "pending"], Field(description="of the callbacks that are meant")] = "dead"


@routes.get("")
async def get_callbacks(
    _ops: OpsDep,
    container: ContainerDep,
    status: Literal["pending", "delivered", "dead"] | None = None,
    source: Identifier | None = None,
    type: EventType | None = None,  # noqa: A002 - the name of the query's parameter
    event_id: Identifier | None = None,
    since: Annotated[Moment | None, Query(description="events from then on")] = None,
    until: Annotated[Moment | None, Query(description="events before then")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[OpsCallback]:
    """Callbacks, the newest event first, one line for each address; `status=dead` finds what was given up."""
    wanted = CallbackFilter(status=status, source=source, type=type, event_id=event_id, since=since, until=until)
    rows = await list_callbacks(container.database, wanted, callback_position(cursor), limit + 1)
    places = {id(callback): place for place, callback in rows}
    return page([callback for _, callback in rows], limit, lambda callback: (callback.occurred_at, places[id(callback)]))


@routes.get("/{event_id}")
async def get_callback(event_id: Identifier, _ops: OpsDep, container: ContainerDep) -> OpsCallbackAttempts:
    """One event, its addresses, and every attempt."""
    found = await read_callback(container.database, event_id)
    if found is None:
        raise Refusal(ErrorCode.EVENT_NOT_FOUND, f"There is no event {event_id}.")
    return found


@routes.post("/resend", status_code=202)
async def resend_range(wanted: WantedRange, ops: OpsDep, container: ContainerDep) -> Resent:
    """Send a mall's events of a time again: those that were given up, unless another status is named."""
    count = await container.resending.range(wanted.source, wanted.since, wanted.until, wanted.status, by=ops.key_name)
    return Resent(count=count)


@routes.post("/{event_id}/resend", status_code=202)
async def resend_callback(event_id: Identifier, ops: OpsDep, container: ContainerDep) -> Resent:
    """Send one event again now, under the same id, whatever became of it."""
    return Resent(count=await container.resending.event(event_id, by=ops.key_name))
