"""Callbacks of every mall, their attempts, and redelivery."""

from typing import Annotated

from fastapi import Path

from api.dependencies import ContainerDep, OpsDep, SupportDep
from api.http.filters import CallbackFilters
from api.http.pagination import Cursor, Limit, Page, callback_position, page
from api.http.routing import api_router
from db.callbacks.mass_redelivery import read_redelivery
from db.callbacks.queries import list_callbacks, read_callback
from domain.errors import ErrorCode, Refusal
from domain.schemas.acts import CallbackOutcome
from domain.schemas.callbacks import OpsCallback, OpsCallbackAttempts
from domain.schemas.redeliveries import Redelivery, RedeliveryRange
from domain.types import Identifier

router = api_router("/v1/ops/callbacks", tags=["operations"])

RedeliveryId = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("")
async def get_callbacks(
    _ops: OpsDep,
    container: ContainerDep,
    filters: CallbackFilters,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[OpsCallback]:
    """List callbacks, newest event first, one item per address; `status=dead` finds those that were given up."""
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
async def resend_range(body: RedeliveryRange, ops: OpsDep, container: ContainerDep) -> Redelivery:
    """Send a mall's events of a period again: the dead ones, unless another status is named.

    A workflow sends them slice after slice; while it runs, a repeat answers with its progress.
    """
    return container.links.fill(await container.callbacks.redeliver_range(body, by=ops))


@router.get("/resend/{redelivery_id}")
async def get_redelivery(redelivery_id: RedeliveryId, _ops: OpsDep, container: ContainerDep) -> Redelivery:
    """Get the progress of a period's events that are sent again."""
    found = await read_redelivery(container.database, redelivery_id)
    if found is None:
        raise Refusal(ErrorCode.REDELIVERY_NOT_FOUND, f"There is no redelivery {redelivery_id}.")
    return container.links.fill(found)


@router.post("/{event_id}/resend")
async def resend_callback(event_id: Identifier, ops: SupportDep, container: ContainerDep) -> CallbackOutcome:
    """Send an event again now, under the same id, whether it was delivered, is pending or dead."""
    outcome, callback = await container.callbacks.redeliver_by_operator(event_id, by=ops)
    return CallbackOutcome(**outcome.model_dump(), callback=callback)
