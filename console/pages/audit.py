"""The audit: who changed and did what."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BeforeValidator, Field
from starlette.responses import Response

from api.dependencies import ContainerDep
from api.http.pagination import Cursor, number_position, page
from console.access import ViewerDep
from console.exports import csv_file
from console.rendering import render
from db.settings.audit import ChangeFilter, export_changes, list_changes
from domain.schemas.audit import Change
from domain.types import Moment, Name

router = APIRouter()

ROWS = 50
Subject = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:@/-]+$")]


def _in_utc(text: object) -> object:
    """What a browser sends for a time has no zone."""
    return text if not isinstance(text, str) or text.endswith("Z") else f"{text}:00Z" if text.count(":") == 1 else f"{text}Z"


MomentField = Annotated[Moment, BeforeValidator(_in_utc)]


async def _filters(
    subject: Subject | None = None,
    changed_by: Name | None = None,
    since: MomentField | None = None,
    until: MomentField | None = None,
) -> ChangeFilter:
    return ChangeFilter(subject=subject, changed_by=changed_by, since=since, until=until)


Filters = Annotated[ChangeFilter, Depends(_filters)]


@router.get("/audit")
async def audit(
    request: Request, _viewer: ViewerDep, container: ContainerDep, filters: Filters, cursor: Cursor = None
) -> Response:
    rows = await list_changes(container.database, filters, number_position(cursor), ROWS + 1)
    found = page(rows, ROWS, lambda change: (change.changed_at, str(change.change_no)))
    return render(request, "audit.html", changes=found.data, next_cursor=found.next_cursor)


@router.get("/audit.csv")
async def export(request: Request, _viewer: ViewerDep, container: ContainerDep, filters: Filters) -> Response:
    return csv_file(request, "audit", Change, export_changes(container.database, filters))
