"""Offers as this process remembers them: what a quote needs that is not the buyer's own costs no statement."""

from datetime import datetime

from api.container import Container
from db.campaigns.offers import read_buyer_state, read_offer
from db.core.connection import Connection, connection
from domain.eligibility import Offer, QuoteContext, SeatIntent, quote_context
from domain.schemas.quotes import QuoteRequest
from domain.switches import Switches


async def find_offer(container: Container, source: str, asked: QuoteRequest) -> Offer:
    """The offer that `read_quote_context` finds; any change of a campaign or of the goods is a reason to look again.

    Raises:
        Refusal: goods_not_found, campaign_not_found.
    """
    place = (source, asked.channel, asked.goods_id, asked.campaign_id)

    async def read() -> Offer:
        async with connection(container.database) as conn:
            return await read_offer(conn, *place)

    return await container.remembered.recall(("offer", *place), read, lambda offer: ["campaign", f"goods/{offer.goods_id}"])


async def find_offer_and_buyer(conn: Connection, offer: Offer, switches: Switches, user_id: str, now: datetime) -> QuoteContext:
    return quote_context(offer, await read_buyer_state(conn, offer, user_id), switches, SeatIntent.EITHER, now)
