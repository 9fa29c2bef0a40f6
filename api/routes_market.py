"""What a buyer finds: the price, teams to join, how many took part."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from api.pages import Limit
from api.platform import MallDep, PlatformDep
from db.connection import connection
from db.market import Looker, market_teams
from db.offers import inquire
from domain.eligibility import explained, is_visible, quote
from domain.trade import ExplainedQuote, Market, Quote, QuoteRequest
from domain.values import MAX_CAMPAIGN_ID, Identifier

routes = APIRouter(prefix="/v1", tags=["mall"])

TEAMS_SHOWN = 10


@routes.post("/quotes")
async def get_quote(
    asked: QuoteRequest, mall: MallDep, platform: PlatformDep, *, explain: bool = False
) -> Quote | ExplainedQuote:
    """Price and eligibility for one buyer and goods, before anything is reserved; `explain` shows every rule."""
    async with connection(platform.database) as opened:
        found = await inquire(opened, mall.source, asked, datetime.now(UTC))
    return explained(found) if explain else quote(found)


@routes.get("/market")
async def get_market(
    mall: MallDep,
    platform: PlatformDep,
    goods_id: Annotated[Identifier, Query()],
    channel: Annotated[Identifier, Query()],
    user_id: Annotated[Identifier, Query()],
    campaign_id: Annotated[int | None, Query(ge=1, le=MAX_CAMPAIGN_ID)] = None,
    limit: Limit = TEAMS_SHOWN,
) -> Market:
    """A quote, the teams that can be joined (the buyer's own first), and how many took part in the campaign."""
    asked = QuoteRequest(goods_id=goods_id, channel=channel, user_id=user_id, campaign_id=campaign_id)
    return await market(platform, mall.source, asked, limit)


async def market(platform: PlatformDep, source: str, asked: QuoteRequest, limit: int) -> Market:
    """What an offer that a buyer may not see hides: the teams of others."""
    now = datetime.now(UTC)
    async with connection(platform.database) as opened:
        found = await inquire(opened, source, asked, now)
        looker = Looker(source, found.offer.campaign_id, asked.goods_id, asked.user_id, is_visible(found.facts))
        teams = await market_teams(opened, looker, now, limit)
    statistics = await platform.counting.statistics(source, found.offer.campaign_id)
    return Market(quote=quote(found), teams=teams, statistics=statistics)
