"""What the pages of campaigns share: finding one, what its terms would lead to, and what differs between two versions."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, NamedTuple

from fastapi import Path

from console.changed import Difference, differences
from db.campaigns.goods import read_goods
from db.campaigns.offers import read_context_of
from db.campaigns.store import read_campaign
from db.core.connection import Database, connection
from domain.campaigns import campaign_risks
from domain.errors import ErrorCode, Refusal, Risk
from domain.pricing import pay_price
from domain.quotes import explained_quote, offer_of
from domain.schemas.campaigns import Campaign, CampaignFields
from domain.schemas.quotes import ExplainedQuote
from domain.types import MAX_CAMPAIGN_ID

PREVIEWED_GOODS = 20
CampaignPath = Annotated[int, Path(ge=1, le=MAX_CAMPAIGN_ID)]


async def find_campaign(database: Database, campaign_id: int) -> Campaign:
    """Raises Refusal: campaign_not_found."""
    found = await read_campaign(database, campaign_id)
    if found is None:
        raise Refusal(ErrorCode.CAMPAIGN_NOT_FOUND, f"There is no campaign {campaign_id}.")
    return found


class GoodsPrice(NamedTuple):
    """What a buyer pays for goods: alone, and in a team."""

    goods_id: str
    name: str
    original_price: Decimal
    pay_price: Decimal


class Preview(NamedTuple):
    """What the fields of a campaign would lead to."""

    prices: list[GoodsPrice]
    unknown: list[str]
    """goods that there are none of"""
    risks: list[Risk]
    quote: ExplainedQuote | None
    """what the sample buyer would be told of the first goods that there are"""


async def read_preview(database: Database, before: Campaign | None, after: CampaignFields, buyer: str | None = None) -> Preview:
    """Returns what the fields would lead to with the goods as they are now, the first ones of many.

    Args:
        database: where the goods are.
        before: the campaign as it is; None: it is new.
        after: the campaign as it would be.
        buyer: the user to whom the rules are applied.
    """
    now = datetime.now(UTC)
    sold = list(dict.fromkeys(each.goods_id for each in after.goods))[:PREVIEWED_GOODS]
    goods = {goods_id: found for goods_id in sold if (found := await read_goods(database, goods_id))}
    prices = {goods_id: each.original_price for goods_id, each in goods.items()}
    first = next((each for each in after.goods if each.goods_id in goods), None)
    quote = None
    if buyer is not None and first is not None:
        offer = offer_of(before.campaign_id if before else 0, after, first, goods[first.goods_id])
        async with connection(database) as conn:
            quote = explained_quote(await read_context_of(conn, offer, after.stock, buyer, now))
    return Preview(
        prices=[
            GoodsPrice(
                goods_id, each.name, each.original_price, pay_price(each.original_price, after.discount, in_audience=True)
            )
            for goods_id, each in goods.items()
        ],
        unknown=[goods_id for goods_id in sold if goods_id not in goods],
        risks=list(campaign_risks(before, after, prices, now)),
        quote=quote,
    )


def version_differences(before: Campaign | None, after: Campaign) -> list[Difference]:
    """Returns the fields of a version that differ from those of the one before; of the first version, none."""
    if before is None:
        return []
    return differences(before.model_dump(mode="json"), after.model_dump(mode="json"), CampaignFields.model_fields)
