"""Settlements: what each mall's trade came to in a month, and who bears the discounts."""

from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.dependencies import ContainerDep
from api.http.exports import all_rows
from api.http.filters import SettlementFilters
from api.http.pagination import Cursor, page, position
from console.access import ViewerDep
from console.exports import csv_file
from console.forms import new_act_id
from console.rendering import render
from db.settlements import list_settlements, settlement_key
from domain.schemas.settlements import MonthlySettlement

router = APIRouter()

ROWS = 50


@router.get("/settlements")
async def settlements(
    request: Request, _viewer: ViewerDep, container: ContainerDep, filters: SettlementFilters, cursor: Cursor = None
) -> Response:
    rows = await list_settlements(container.database, filters, position(cursor), ROWS + 1)
    found = page(rows, ROWS, settlement_key)
    return render(request, "settlements.html", settlements=found.data, next_cursor=found.next_cursor, act_id=new_act_id())


@router.get("/settlements.csv")
async def export(request: Request, _viewer: ViewerDep, container: ContainerDep, filters: SettlementFilters) -> Response:
    rows = all_rows(partial(list_settlements, container.database, filters), settlement_key)
    return csv_file(request, "settlements", MonthlySettlement, rows)
