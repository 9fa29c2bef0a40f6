"""Settlements by mall and month."""

from functools import partial

from fastapi.responses import StreamingResponse

from api.dependencies import ContainerDep, OpsDep
from api.http.exports import all_rows, csv_lines, file_answer
from api.http.filters import SettlementFilters
from api.http.pagination import Cursor, Limit, Page, page, position
from api.http.routing import api_router
from db.settlements import list_settlements, settlement_key
from domain.schemas.settlements import MonthlySettlement

router = api_router("/v1/ops/settlements", tags=["operations"])

CSV = {"text/csv": {"schema": {"type": "string"}, "example": f"{','.join(MonthlySettlement.model_fields)}\n"}}


@router.get("")
async def get_settlements(
    _ops: OpsDep, container: ContainerDep, filters: SettlementFilters, limit: Limit = 20, cursor: Cursor = None
) -> Page[MonthlySettlement]:
    """List what each mall's trade came to in each month (UTC), and who bears the discounts, the latest month first.

    An order counts when its team is completed, a refund when a member leaves a completed team. Counted every few minutes.
    """
    rows = await list_settlements(container.database, filters, position(cursor), limit + 1)
    return page(rows, limit, settlement_key)


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"description": "The same, with a line for each mall and month", "content": CSV}},
)
async def export_settlements(_ops: OpsDep, container: ContainerDep, filters: SettlementFilters) -> StreamingResponse:
    """Export the settlements as CSV."""
    rows = all_rows(partial(list_settlements, container.database, filters), settlement_key)
    return file_answer("settlements.csv", csv_lines(MonthlySettlement, rows))
