"""The audit: who changed and did what."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.dependencies import ContainerDep
from api.http.pagination import Cursor, number_position, page
from console.access import ViewerDep
from console.exports import csv_file
from console.filters import ChangeFilters
from console.forms import new_act_id
from console.rendering import render
from db.settings.audit import change_key, export_changes, list_changes
from domain.schemas.audit import Change

router = APIRouter()

ROWS = 50


@router.get("/audit")
async def audit(
    request: Request, _viewer: ViewerDep, container: ContainerDep, filters: ChangeFilters, cursor: Cursor = None
) -> Response:
    rows = await list_changes(container.database, filters, number_position(cursor), ROWS + 1)
    found = page(rows, ROWS, change_key)
    return render(request, "audit.html", changes=found.data, next_cursor=found.next_cursor, act_id=new_act_id())


@router.get("/audit.csv")
async def export(request: Request, _viewer: ViewerDep, container: ContainerDep, filters: ChangeFilters) -> Response:
    return csv_file(request, "audit", Change, export_changes(container.database, filters))
