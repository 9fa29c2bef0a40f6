"""Campaigns: the list, a campaign with its prices and versions, and what a buyer would pay."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from api.dependencies import ContainerDep
from api.http.filters import CampaignFilters
from api.http.pagination import Cursor, campaign_position, page
from console.access import ViewerDep
from console.campaigns import CampaignPath, find_campaign, read_preview, version_differences
from console.lists import ROWS, version
from console.rendering import render
from db.campaigns.funnel import read_funnel
from db.campaigns.shutdown import read_shutdown
from db.campaigns.store import list_campaigns
from db.campaigns.versions import list_versions
from db.teams.queries import TeamFilter, list_teams
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import CampaignStatus
from domain.quotes import explained_quote
from domain.schemas.campaigns import CampaignGoods
from domain.schemas.quotes import QuoteRequest
from domain.types import Identifier

router = APIRouter()

VERSIONS = 20
TEAMS = 10
"""shown"""


@router.get("/campaigns")
async def campaigns(
    request: Request, _viewer: ViewerDep, container: ContainerDep, filters: CampaignFilters, cursor: Cursor = None
) -> Response:
    rows = await list_campaigns(container.database, filters, campaign_position(cursor), ROWS + 1)
    found = page(rows, ROWS, lambda campaign: (campaign.updated_at, str(campaign.campaign_id)))
    return render(
        request, "campaigns/list.html", campaigns=found.data, next_cursor=found.next_cursor, statuses=list(CampaignStatus)
    )


@router.get("/campaigns/{campaign_id}")
async def campaign(request: Request, campaign_id: CampaignPath, _viewer: ViewerDep, container: ContainerDep) -> Response:
    found = await find_campaign(container.database, campaign_id)
    versions = await list_versions(container.database, campaign_id, None, VERSIONS)
    older = [*(each.campaign for each in versions[1:]), None]
    shutdown = await read_shutdown(container.database, campaign_id)
    teams = await list_teams(container.database, TeamFilter(campaign_id=campaign_id), None, ROWS + 1)
    return render(
        request,
        "campaigns/campaign.html",
        campaign=found,
        preview=await read_preview(container.database, found, found),
        teams=teams[:TEAMS],
        teams_version=version(teams),
        versions=[(each, version_differences(old, each.campaign)) for each, old in zip(versions, older, strict=True)],
        shutdown=container.links.fill(shutdown) if shutdown else None,
    )


@router.get("/campaigns/{campaign_id}/funnel")
async def funnel(request: Request, campaign_id: CampaignPath, _viewer: ViewerDep, container: ContainerDep) -> Response:
    """Apart from the page, which does not wait until all teams are counted."""
    found = await read_funnel(container.database, campaign_id)
    return render(request, "campaigns/funnel.html", campaign_id=campaign_id, funnel=found)


@router.get("/campaigns/{campaign_id}/quote")
async def ask_quote(
    request: Request,
    campaign_id: CampaignPath,
    _viewer: ViewerDep,
    container: ContainerDep,
    sold: Annotated[str, Query(max_length=200)],
    user_id: Identifier,
) -> Response:
    """What a buyer would pay for one of the campaign's goods (mall, channel and goods), with every rule."""
    try:
        goods = CampaignGoods.model_validate(dict(zip(CampaignGoods.model_fields, sold.split(), strict=False)))
    except ValidationError:
        raise Refusal(ErrorCode.INVALID_REQUEST, "sold: name the mall, the channel and the goods.") from None
    quote = QuoteRequest(goods_id=goods.goods_id, channel=goods.channel, user_id=user_id, campaign_id=campaign_id)
    context = await container.quotes.quote_context(goods.source, quote)
    return render(request, "campaigns/quote.html", user_id=user_id, quote=explained_quote(context))
