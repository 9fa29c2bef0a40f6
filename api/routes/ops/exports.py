"""Exports of lists as CSV files, which a workflow writes and keeps for a day."""

import uuid

from fastapi.responses import StreamingResponse

from api.container import Container
from api.dependencies import ContainerDep, OpsDep, ReadingOpsDep
from api.http.exports import file_answer
from api.http.filters import (
    ChangeFilters,
    OrderFilters,
    RefundFilters,
    SettlementFilters,
    StatisticsFilters,
    TeamFilters,
)
from api.http.routing import api_router
from api.openapi.declarations import refuses
from db.exports import ExportFilter, list_exports, read_export
from domain.errors import ErrorCode
from domain.messages.acts import Act, Author
from domain.schemas.exports import Export, ExportKind, Exports

router = api_router("/v1/ops/exports", tags=["operations"])

CSV = {"text/csv": {"schema": {"type": "string"}, "example": "order_id,out_trade_no,…\n"}}


async def _begin(container: Container, by: Author, kind: ExportKind, filters: ExportFilter) -> Export:
    return container.links.fill(await container.exports.begin(kind, filters, Act(id=uuid.uuid4().hex, author=by)))


@router.post("/orders", status_code=202)
async def export_orders(ops: ReadingOpsDep, container: ContainerDep, filters: OrderFilters) -> Export:
    """Export the orders that fit, as `GET /v1/ops/orders` lists them. A workflow writes them as a CSV file."""
    return await _begin(container, ops, ExportKind.ORDERS, filters)


@router.post("/refunds", status_code=202)
async def export_refunds(ops: ReadingOpsDep, container: ContainerDep, filters: RefundFilters) -> Export:
    """Export the refunds that fit, as `GET /v1/ops/refunds` lists them."""
    return await _begin(container, ops, ExportKind.REFUNDS, filters)


@router.post("/teams", status_code=202)
async def export_teams(ops: ReadingOpsDep, container: ContainerDep, filters: TeamFilters) -> Export:
    """Export the teams that fit, as `GET /v1/ops/teams` lists them."""
    return await _begin(container, ops, ExportKind.TEAMS, filters)


@router.post("/statistics", status_code=202)
async def export_statistics_as_file(ops: ReadingOpsDep, container: ContainerDep, filters: StatisticsFilters) -> Export:
    """Export the statistics of each day, as `GET /v1/ops/statistics` has them."""
    return await _begin(container, ops, ExportKind.STATISTICS, filters)


@router.post("/settlements", status_code=202)
async def export_settlements_as_file(ops: ReadingOpsDep, container: ContainerDep, filters: SettlementFilters) -> Export:
    """Export the settlements of each mall and month, as `GET /v1/ops/settlements` lists them."""
    return await _begin(container, ops, ExportKind.SETTLEMENTS, filters)


@router.post("/audit", status_code=202)
async def export_audit_as_file(ops: ReadingOpsDep, container: ContainerDep, filters: ChangeFilters) -> Export:
    """Export the changes and acts that fit, as `GET /v1/ops/audit` lists them: the newest first."""
    return await _begin(container, ops, ExportKind.AUDIT, filters)


@router.get("")
async def get_exports(_ops: OpsDep, container: ContainerDep) -> Exports:
    """List the latest exports that are running or kept."""
    return Exports(data=container.links.fill_all(await list_exports(container.database)))


# As a UUID in the path, too: else it would also take the GET of `/orders`, which is no method of that one.
@router.get("/{export_id:uuid}")
async def get_export(export_id: uuid.UUID, _ops: OpsDep, container: ContainerDep) -> Export:
    """Get an export with its progress."""
    return container.links.fill(await read_export(container.database, export_id.hex))


@router.get(
    "/{export_id:uuid}/file",
    response_class=StreamingResponse,
    responses={200: {"description": "All rows, the newest first", "content": CSV}},
    openapi_extra=refuses(ErrorCode.EXPORT_NOT_READY),
)
async def get_export_file(export_id: uuid.UUID, _ops: OpsDep, container: ContainerDep) -> StreamingResponse:
    """Get the file of an export that is done: UTF-8 with a byte order mark, and no cell begins a formula."""
    export, parts = await container.exports.file(export_id.hex)
    return file_answer(f"{export.kind}.csv", parts)
