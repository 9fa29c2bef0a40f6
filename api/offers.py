"""Offers as this process remembers them: what a quote needs that is not the buyer's own costs no statement."""

from datetime import datetime

from api.platform import Platform
from db.connection import Connection, connection
from db.offers import read_offer, read_standing
from domain.eligibility import Inquiry, Offer, Wish, inquiry
from domain.switches import Switches
from domain.trade import QuoteRequest


async def known_offer(platform: Platform, source: str, asked: QuoteRequest) -> Offer:
    """The offer that `db.offers.inquire` finds; any change of a campaign or of the goods is a reason to look again.

    Raises:
        Refusal: goods_not_found, campaign_not_found.
    """
    place = (source, asked.channel, asked.goods_id, asked.campaign_id)

    async def read() -> Offer:
        async with connection(platform.database) as opened:
            return await read_offer(opened, *place)

    return await platform.remembered.recall(("offer", *place), read, lambda offer: ["campaign", f"goods/{offer.goods_id}"])


async def stand_before(opened: Connection, offer: Offer, switches: Switches, user_id: str, now: datetime) -> Inquiry:
    return inquiry(offer, await read_standing(opened, offer, user_id), switches, Wish.EITHER, now)
