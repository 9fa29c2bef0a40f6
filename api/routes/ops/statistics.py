"""Statistics by day."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, NamedTuple

from fastapi import Depends, Query
from fastapi.responses import StreamingResponse

from api.dependencies import ContainerDep, OpsDep
from api.http.exports import csv_lines, file_answer, one_slice
from api.http.routing import api_router
from db.statistics import list_statistics
from domain.schemas.statistics import DayStatistics, Statistics
from domain.types import Source

router = api_router("/v1/ops/statistics", tags=["operations"])

SHOWN = timedelta(days=30)
CSV = {"text/csv": {"schema": {"type": "string"}, "example": f"{','.join(DayStatistics.model_fields)}\n"}}


class Period(NamedTuple):
    source: str | None
    since: date
    until: date


async def _period(
    source: Source | None = None,
    since: Annotated[date | None, Query(description="first day (UTC); by default 30 days before the last")] = None,
    until: Annotated[date | None, Query(description="last day (UTC); by default today")] = None,
) -> Period:
    last = until or datetime.now(UTC).date()
    return Period(source, since or max(last, date.min + SHOWN) - SHOWN, last)


PeriodDep = Annotated[Period, Depends(_period)]


@router.get("")
async def get_statistics(_ops: OpsDep, container: ContainerDep, period: PeriodDep) -> Statistics:
    """Get the statistics of each day, the latest first, of one mall or of all together. They are counted every few minutes."""
    return Statistics(data=await list_statistics(container.database, *period))


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"description": "The same, with a line for each day", "content": CSV}},
)
async def export_statistics(_ops: OpsDep, container: ContainerDep, period: PeriodDep) -> StreamingResponse:
    """Export the statistics as CSV."""
    days = await list_statistics(container.database, *period)
    return file_answer("statistics.csv", csv_lines(DayStatistics, one_slice(days)))
