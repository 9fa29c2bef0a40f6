"""What the pages of campaigns share: finding one, what its terms would lead to, and what differs between two versions."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, NamedTuple

from fastapi import Path

from console.changed import Difference, differences
from db.campaigns.goods import read_goods
from db.campaigns.store import read_campaign
from db.core.connection import Database
from domain.campaigns import campaign_risks
from domain.errors import ErrorCode, Refusal, Risk
from domain.pricing import pay_price
from domain.schemas.campaigns import Campaign, CampaignFields
from domain.schemas.goods import Goods
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
    prices: list[GoodsPrice]
    unknown: list[str]
    """goods that there are none of"""
    risks: list[Risk]


def preview(before: CampaignFields | None, after: CampaignFields, goods: Mapping[str, Goods], now: datetime) -> Preview:
    """Returns what the fields would lead to.

    Args:
        before: the campaign as it is; None: it is new.
        after: the campaign as it would be.
        goods: those that it sells, as far as they are known.
        now: the time of the preview.
    """
    sold = list(dict.fromkeys(each.goods_id for each in after.goods))
    known = [goods[goods_id] for goods_id in sold if goods_id in goods]
    prices = {each.goods_id: each.original_price for each in known}
    return Preview(
        prices=[
            GoodsPrice(
                each.goods_id,
                each.name,
                each.original_price,
                pay_price(each.original_price, after.discount, in_audience=True),
            )
            for each in known
        ],
        unknown=[goods_id for goods_id in sold if goods_id not in goods],
        risks=list(campaign_risks(before, after, prices, now)),
    )


async def read_preview(database: Database, before: CampaignFields | None, after: CampaignFields) -> Preview:
    """Returns what the fields would lead to with the goods as they are now, the first ones of many."""
    sold = list(dict.fromkeys(each.goods_id for each in after.goods))[:PREVIEWED_GOODS]
    goods = {goods_id: found for goods_id in sold if (found := await read_goods(database, goods_id))}
    return preview(before, after, goods, datetime.now(UTC))


def version_differences(before: Campaign | None, after: Campaign) -> list[Difference]:
    """Returns the fields of a version that differ from those of the one before; of the first version, none."""
    if before is None:
        return []
    return differences(before.model_dump(mode="json"), after.model_dump(mode="json"), CampaignFields.model_fields)
