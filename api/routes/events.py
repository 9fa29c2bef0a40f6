"""A mall's events: to catch up, to have one sent again, and to try out a receiver."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from api.dependencies import ContainerDep, MallDep
from api.http.pagination import Limit, Page
from api.services.orders import callback_address
from db.callbacks.queries import read_feed
from domain.errors import ErrorCode, Refusal
from domain.messages.callbacks import SampleReply
from domain.schemas.callback_settings import Callback
from domain.schemas.callbacks import Event
from domain.schemas.events import EventType
from domain.types import Identifier, Schema

routes = APIRouter(prefix="/v1/events", tags=["mall"])

Sequence = Annotated[int, Query(ge=0, le=2**63 - 1, description="the last sequence that the mall has")]
FeedCursor = Annotated[
    str | None, Query(pattern=r"^[0-9]{1,18}$", description="next_cursor of the page before; it is a sequence")
]


class WantedSample(Schema):
    type: EventType
    callback: Annotated[Callback | None, Field(description="instead of the mall's own setting")] = None


class Resent(Schema):
    count: int
    """events that are sent again; 0: there was no address, or it is a question that has its answer"""


@routes.get("")
async def get_events(
    mall: MallDep, container: ContainerDep, after: Sequence = 0, limit: Limit = 20, cursor: FeedCursor = None
) -> Page[Event]:
    """Everything that the mall was told, or is to be told, in order and without gaps: to catch up, and to compare."""
    events = await read_feed(container.database, mall.source, int(cursor) if cursor else after, limit + 1)
    shown = events[:limit]
    return Page(data=shown, next_cursor=str(shown[-1].sequence) if len(events) > limit else None)


@routes.post("/test")
async def send_sample(wanted: WantedSample, mall: MallDep, container: ContainerDep) -> SampleReply:
    """Send a signed sample now, once, and answer what came back."""
    callback = callback_address(mall, wanted.callback)
    if callback is None:
        raise Refusal(ErrorCode.INVALID_REQUEST, "callback: the mall has no setting of its own, so name an address.")
    return await container.resending.sample(mall.source, wanted.type, callback)


@routes.post("/{event_id}/resend", status_code=202)
async def resend(event_id: Identifier, mall: MallDep, container: ContainerDep) -> Resent:
    """Send an event again now, under the same id: one that was given up, waits for its next try, or was taken already."""
    return Resent(count=await container.resending.event(event_id, by=f"mall {mall.source}", source=mall.source))
