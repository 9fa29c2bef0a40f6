"""Statistics by day."""

from fastapi.responses import StreamingResponse

from api.dependencies import ContainerDep, OpsDep
from api.http.exports import csv_lines, file_answer, one_slice
from api.http.filters import StatisticsFilters
from api.http.routing import api_router
from db.statistics import list_statistics
from domain.schemas.statistics import DayStatistics, Statistics

router = api_router("/v1/ops/statistics", tags=["operations"])

CSV = {"text/csv": {"schema": {"type": "string"}, "example": f"{','.join(DayStatistics.model_fields)}\n"}}


@router.get("")
async def get_statistics(_ops: OpsDep, container: ContainerDep, filters: StatisticsFilters) -> Statistics:
    """Get the statistics of each day, the latest first, of one mall or of all together. They are counted every few minutes."""
    return Statistics(data=await list_statistics(container.database, filters))


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"description": "The same, with a line for each day", "content": CSV}},
)
async def export_statistics(_ops: OpsDep, container: ContainerDep, filters: StatisticsFilters) -> StreamingResponse:
    """Export the statistics as CSV."""
    days = await list_statistics(container.database, filters)
    return file_answer("statistics.csv", csv_lines(DayStatistics, one_slice(days)))
