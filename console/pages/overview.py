"""The first page: what waits for a person, the campaigns that sell, and the statistics of the last days."""

from dataclasses import replace
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.dependencies import ContainerDep
from api.http.exports import one_slice
from api.http.filters import DAYS
from console.access import ViewerDep
from console.exports import csv_file
from console.forms import new_act_id
from console.lists import OF_EACH_KIND, version
from console.rendering import render
from console.statistics_charts import CHARTS, funnel
from db.attention import group_attention
from db.campaigns.store import CampaignFilter, list_campaigns
from db.core.connection import Database
from db.statistics import StatisticsFilter, list_statistics
from domain.lifecycle import CampaignStatus
from domain.schemas.attention import Resolvable
from domain.schemas.statistics import DayStatistics
from domain.types import Source

router = APIRouter()

SHOWN = 10
OLDEST = 3
"""of every kind that waits for a person"""


@router.get("/")
async def overview(request: Request, _viewer: ViewerDep, container: ContainerDep, source: Source | None = None) -> Response:
    database = container.database
    groups = await group_attention(database, OF_EACH_KIND + 1)
    days = await _days(database, source)
    return render(
        request,
        "overview.html",
        groups=[replace(group, oldest=container.links.fill_all(group.oldest)) for group in groups],
        each=OLDEST,
        resolvable=list(Resolvable),
        version=version(groups),
        campaigns=await list_campaigns(database, CampaignFilter(status=CampaignStatus.ACTIVE), None, SHOWN),
        days=days,
        today=next((day for day in days if day.day == datetime.now(UTC).date()), None),
        charts=CHARTS,
        funnel=funnel(days),
        source=source,
        act_id=new_act_id(),
    )


@router.get("/statistics.csv")
async def export(request: Request, _viewer: ViewerDep, container: ContainerDep, source: Source | None = None) -> Response:
    return csv_file(request, "statistics", DayStatistics, one_slice(await _days(container.database, source)))


async def _days(database: Database, source: str | None) -> list[DayStatistics]:
    today = datetime.now(UTC).date()
    return await list_statistics(database, StatisticsFilter(today - DAYS, today, source))
