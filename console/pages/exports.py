"""Exports: lists as files, which a workflow writes and keeps for a day."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from api.container import Container
from api.dependencies import ContainerDep
from api.http.exports import file_answer
from api.http.filters import OrderFilters, RefundFilters, SettlementFilters, StatisticsFilters, TeamFilters
from api.http.protocol import ENDLESS
from console.access import FormDep, Operator, ViewerDep
from console.filters import ChangeFilters
from console.forms import act_id_of
from console.rendering import go_to, render
from db.exports import ExportFilter, list_exports, read_export
from domain.messages.acts import Act
from domain.schemas.exports import ExportKind

router = APIRouter()

ExportId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


@router.get("/exports")
async def exports(request: Request, _viewer: ViewerDep, container: ContainerDep) -> Response:
    return render(request, "exports/list.html", exports=await list_exports(container.database))


@router.post("/exports/orders")
async def export_orders(
    request: Request, viewer: ViewerDep, container: ContainerDep, form: FormDep, filters: OrderFilters
) -> Response:
    return await _begin(request, container, viewer, form, ExportKind.ORDERS, filters)


@router.post("/exports/refunds")
async def export_refunds(
    request: Request, viewer: ViewerDep, container: ContainerDep, form: FormDep, filters: RefundFilters
) -> Response:
    return await _begin(request, container, viewer, form, ExportKind.REFUNDS, filters)


@router.post("/exports/teams")
async def export_teams(
    request: Request, viewer: ViewerDep, container: ContainerDep, form: FormDep, filters: TeamFilters
) -> Response:
    return await _begin(request, container, viewer, form, ExportKind.TEAMS, filters)


@router.post("/exports/statistics")
async def export_statistics(
    request: Request, viewer: ViewerDep, container: ContainerDep, form: FormDep, filters: StatisticsFilters
) -> Response:
    return await _begin(request, container, viewer, form, ExportKind.STATISTICS, filters)


@router.post("/exports/settlements")
async def export_settlements(
    request: Request, viewer: ViewerDep, container: ContainerDep, form: FormDep, filters: SettlementFilters
) -> Response:
    return await _begin(request, container, viewer, form, ExportKind.SETTLEMENTS, filters)


@router.post("/exports/audit")
async def export_audit(
    request: Request, viewer: ViewerDep, container: ContainerDep, form: FormDep, filters: ChangeFilters
) -> Response:
    return await _begin(request, container, viewer, form, ExportKind.AUDIT, filters)


async def _begin(
    request: Request, container: Container, viewer: Operator, form: dict[str, str], kind: ExportKind, filters: ExportFilter
) -> Response:
    export = await container.exports.begin(kind, filters, Act(id=act_id_of(form), author=viewer.author))
    return go_to(request, f"/exports/{export.export_id}")


@router.get("/exports/{export_id}")
async def export(request: Request, export_id: ExportId, _viewer: ViewerDep, container: ContainerDep) -> Response:
    found = await read_export(container.database, export_id)
    return render(request, "exports/export.html", export=container.links.fill(found))


@router.get("/exports/{export_id}/file")
async def file(request: Request, export_id: ExportId, _viewer: ViewerDep, container: ContainerDep) -> Response:
    """A stopping server breaks it off, which a browser says."""
    found, parts = await container.exports.file(export_id)
    request.scope[ENDLESS] = True
    return file_answer(f"{found.kind}.csv", parts)
