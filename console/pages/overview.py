"""The first page: what waits for a person, and how the parts are."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.dependencies import ContainerDep
from console.access import ViewerDep
from console.rendering import render
from db.attention import list_attention
from db.callbacks.queries import read_backlog
from db.campaigns.store import list_campaigns
from db.teams.wakeups import count_wakeups
from domain.lifecycle import CampaignStatus
from domain.schemas.attention import Resolvable

router = APIRouter()

SHOWN = 10


@router.get("/")
async def overview(request: Request, _viewer: ViewerDep, container: ContainerDep) -> Response:
    database = container.database
    waiting = await list_attention(database, None, SHOWN + 1)
    return render(
        request,
        "overview.html",
        items=container.links.fill_all(waiting[:SHOWN]),
        has_more=len(waiting) > SHOWN,
        resolvable=list(Resolvable),
        backlog=await read_backlog(database),
        wakeups=await count_wakeups(database),
        campaigns=await list_campaigns(database, CampaignStatus.ACTIVE, None, SHOWN),
    )
