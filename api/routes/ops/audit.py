"""The audit log: who changed and did what."""

from enum import StrEnum

from fastapi.responses import StreamingResponse

from api.dependencies import ContainerDep, OpsDep
from api.http.exports import csv_lines, file_answer, json_lines
from api.http.filters import ChangeFilters
from api.http.pagination import Cursor, Limit, Page, number_position, page
from api.http.routing import api_router
from db.settings.audit import change_key, export_changes, list_changes
from domain.schemas.audit import Change

router = api_router("/v1/ops/audit", tags=["administration"])


class ExportFormat(StrEnum):
    CSV = "csv"
    JSON_LINES = "jsonl"


CONTENT_TYPES = {ExportFormat.CSV: "text/csv; charset=utf-8", ExportFormat.JSON_LINES: "application/jsonl"}
EXPORTS = {
    "text/csv": {"schema": {"type": "string"}, "example": f"{','.join(Change.model_fields)}\n"},
    "application/jsonl": {"schema": {"type": "string"}, "example": '{"change_no": 11, "changed_by": "ann", …}\n'},
}


@router.get("")
async def get_audit(
    _ops: OpsDep, container: ContainerDep, filters: ChangeFilters, limit: Limit = 20, cursor: Cursor = None
) -> Page[Change]:
    """List changes of settings and acts of operators, newest first."""
    rows = await list_changes(container.database, filters, number_position(cursor), limit + 1)
    return page(rows, limit, change_key)


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"description": "All of them, oldest first", "content": EXPORTS}},
)
async def export_audit(
    _ops: OpsDep,
    container: ContainerDep,
    filters: ChangeFilters,
    format: ExportFormat = ExportFormat.CSV,  # noqa: A002
) -> StreamingResponse:
    """Export the audit, oldest first: `csv` for people, whose cells never begin a formula, or `jsonl` with the exact text."""
    slices = export_changes(container.database, filters)
    lines = csv_lines(Change, slices) if format is ExportFormat.CSV else json_lines(slices)
    return file_answer(f"audit.{format}", lines, CONTENT_TYPES[format])
