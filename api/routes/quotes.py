"""Quotes: the price and the eligibility of one buyer for some goods."""

from api.dependencies import ContainerDep, ReadingMallDep
from api.http.routing import api_router
from api.openapi.declarations import NOT_SOLD, refuses
from domain.quotes import explained_quote, quote
from domain.schemas.quotes import ExplainedQuote, Quote, QuoteRequest

router = api_router("/v1/quotes", tags=["mall"])


@router.post("", openapi_extra=refuses(*NOT_SOLD))
async def get_quote(
    request: QuoteRequest, mall: ReadingMallDep, container: ContainerDep, *, explain: bool = False
) -> Quote | ExplainedQuote:
    """Get price and eligibility for one buyer and goods, before anything is reserved; `explain` adds every rule."""
    context = await container.quotes.quote_context(mall.source, request)
    return explained_quote(context) if explain else quote(context)
