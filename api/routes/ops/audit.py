"""The audit log: who changed what."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from api.dependencies import ContainerDep, OpsDep
from api.http.pagination import Cursor, Limit, Page, number_position, page
from db.settings.audit import list_changes
from domain.schemas.audit import Change
from domain.types import Name

router = APIRouter(prefix="/v1/ops/audit", tags=["administration"])

Subject = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:@/-]+$")]


@router.get("")
async def get_audit(
    _ops: OpsDep,
    container: ContainerDep,
    subject: Annotated[Subject | None, Query()] = None,
    changed_by: Annotated[Name | None, Query()] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[Change]:
    """List changes, newest first, of one subject (`subject=campaign/100123`) or of all of its kind (`subject=campaign`)."""
    rows = await list_changes(container.database, subject, changed_by, number_position(cursor), limit + 1)
    return page(rows, limit, lambda change: (change.changed_at, str(change.change_no)))
