"""A mall's events: the feed, redelivery, and samples for testing a receiver."""

from typing import Annotated

from fastapi import Query
from pydantic import Field

from api.dependencies import ContainerDep, MallDep
from api.http.pagination import Limit, Page
from api.http.responses import Redelivered
from api.http.routing import api_router
from db.callbacks.queries import read_feed
from domain.messages.callbacks import SampleReply
from domain.schemas.callback_settings import Callback
from domain.schemas.callbacks import Event
from domain.schemas.events import EventType
from domain.types import Identifier, Schema

router = api_router("/v1/events", tags=["mall"])

Sequence = Annotated[int, Query(ge=0, le=2**63 - 1, description="the last sequence that the mall has")]
FeedCursor = Annotated[
    str | None, Query(pattern=r"^[0-9]{1,18}$", description="next_cursor of the previous page, which is a sequence")
]


class SampleRequest(Schema):
    type: EventType
    callback: Annotated[Callback | None, Field(description="instead of the mall's default callback")] = None


@router.get("")
async def get_events(
    mall: MallDep, container: ContainerDep, after: Sequence = 0, limit: Limit = 20, cursor: FeedCursor = None
) -> Page[Event]:
    """List the mall's events in order and without gaps, to catch up after an outage or to compare."""
    events = await read_feed(container.database, mall.source, int(cursor) if cursor else after, limit + 1)
    shown = events[:limit]
    return Page(data=shown, next_cursor=str(shown[-1].sequence) if len(events) > limit else None)


@router.post("/test")
async def send_sample(request: SampleRequest, mall: MallDep, container: ContainerDep) -> SampleReply:
    """Send a signed sample once, now, and get the receiver's answer."""
    return await container.callbacks.send_sample(mall, request.type, request.callback)


@router.post("/{event_id}/resend", status_code=202)
async def resend(event_id: Identifier, mall: MallDep, container: ContainerDep) -> Redelivered:
    """Send an event again now, under the same id, whether it was delivered, is pending or dead."""
    return Redelivered(count=await container.callbacks.redeliver_own(event_id, mall))
