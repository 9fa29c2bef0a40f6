"""What a buyer finds: the price, teams to join, how many took part."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from api.container import Container
from api.dependencies import ContainerDep, ReadingMallDep
from api.openapi.document import refuses
from api.services.quotes import find_offer, find_offer_and_buyer
from db.campaigns.market import MarketViewer, market_teams
from db.core.connection import connection
from domain.eligibility import explained_quote, is_visible, quote
from domain.errors import ErrorCode
from domain.schemas.market import Market
from domain.schemas.quotes import ExplainedQuote, Quote, QuoteRequest
from domain.types import MAX_CAMPAIGN_ID

routes = APIRouter(prefix="/v1", tags=["mall"])

TEAMS_SHOWN = 10

NOT_SOLD_HERE = refuses(ErrorCode.GOODS_NOT_FOUND, ErrorCode.CAMPAIGN_NOT_FOUND)


@routes.post("/quotes", openapi_extra=NOT_SOLD_HERE)
async def get_quote(
    asked: QuoteRequest, mall: ReadingMallDep, container: ContainerDep, *, explain: bool = False
) -> Quote | ExplainedQuote:
    """Price and eligibility for one buyer and goods, before anything is reserved; `explain` shows every rule."""
    offer, switches = await find_offer(container, mall.source, asked), await container.switches()
    async with connection(container.database) as conn:
        found = await find_offer_and_buyer(conn, offer, switches, asked.user_id, datetime.now(UTC))
    return explained_quote(found) if explain else quote(found)


class MarketQuery(QuoteRequest):
    model_config = ConfigDict(extra="ignore")

    # A query is text: its numbers are read, not taken strictly.
    campaign_id: Annotated[int | None, Field(ge=1, le=MAX_CAMPAIGN_ID)] = None
    limit: Annotated[int, Field(ge=1, le=100)] = TEAMS_SHOWN


@routes.get("/market", openapi_extra=NOT_SOLD_HERE)
async def get_market(asked: Annotated[MarketQuery, Query()], mall: ReadingMallDep, container: ContainerDep) -> Market:
    """A quote, the teams that can be joined (the buyer's own first), and how many took part in the campaign."""
    return await market(container, mall.source, asked, asked.limit)


async def market(container: Container, source: str, asked: QuoteRequest, limit: int) -> Market:
    """What an offer that a buyer may not see hides: the teams of others."""
    offer, switches, now = await find_offer(container, source, asked), await container.switches(), datetime.now(UTC)
    async with connection(container.database) as conn:
        found = await find_offer_and_buyer(conn, offer, switches, asked.user_id, now)
        looker = MarketViewer(source, offer.campaign_id, asked.goods_id, asked.user_id, is_visible(found.facts))
        teams = await market_teams(conn, looker, now, limit)
    statistics = await container.counting.get(source, offer.campaign_id)
    return Market(quote=quote(found), teams=teams, statistics=statistics)
