"""What waits for an operator, and what an operator has settled."""

import uuid
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from api.dependencies import ContainerDep, OpsDep
from api.http.pagination import Cursor, Limit, Page, page, position
from api.http.routing import api_router
from api.openapi.declarations import refuses
from db.attention import list_attention, resolve
from domain.errors import ErrorCode
from domain.messages.acts import Act
from domain.schemas.acts import ActOutcome
from domain.schemas.attention import Attention, Resolvable
from domain.types import Identifier, Note, Schema

router = api_router("/v1/ops/attention", tags=["operations"])

NO_SUBJECT = refuses(ErrorCode.ORDER_NOT_FOUND, ErrorCode.EVENT_NOT_FOUND)


class Resolution(Schema):
    note: Annotated[Note, Field(min_length=1)]
    """how it was settled; the audit keeps it"""


@router.get("")
async def get_attention(_ops: OpsDep, container: ContainerDep, limit: Limit = 20, cursor: Cursor = None) -> Page[Attention]:
    """List what waits for an operator, newest first."""
    rows = await list_attention(container.database, position(cursor), limit + 1)
    return page(container.links.fill_all(rows), limit, lambda item: (item.since, f"{item.kind}/{item.subject}"))


@router.post("/{kind}/{subject}/resolve", openapi_extra=NO_SUBJECT)
async def resolve_attention(
    kind: Resolvable, subject: Identifier, body: Resolution, ops: OpsDep, container: ContainerDep
) -> ActOutcome:
    """Settle a payment conflict by its order id, or a callback that was given up by its event id."""
    act = Act(id=uuid.uuid4().hex, author=ops, reason=body.note)
    outcome = await resolve(container.database, kind, subject, act, datetime.now(UTC))
    return ActOutcome(**outcome.model_dump())
