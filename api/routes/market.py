"""The market: a quote, teams to join and statistics in one answer."""

from typing import Annotated

from fastapi import Query
from pydantic import ConfigDict, Field

from api.dependencies import ContainerDep, ReadingMallDep
from api.http.routing import api_router
from api.openapi.declarations import NOT_SOLD, refuses
from domain.schemas.market import Market
from domain.schemas.quotes import QuoteRequest
from domain.types import MAX_CAMPAIGN_ID

router = api_router("/v1/market", tags=["mall"])


class MarketQuery(QuoteRequest):
    model_config = ConfigDict(extra="ignore")

    # Not strict as in a body, because the values of a query are text.
    campaign_id: Annotated[int | None, Field(ge=1, le=MAX_CAMPAIGN_ID)] = None
    limit: Annotated[int, Field(ge=1, le=100)] = 10


@router.get("", openapi_extra=refuses(*NOT_SOLD))
async def get_market(query: Annotated[MarketQuery, Query()], mall: ReadingMallDep, container: ContainerDep) -> Market:
    """Get a quote, the teams that can be joined (the buyer's own first), and how many took part in the campaign."""
    return await container.quotes.market(mall.source, query, query.limit)
