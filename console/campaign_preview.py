"""What a campaign's form would lead to: prices, and what may lose money; and what differs between two versions."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from domain.campaigns import campaign_risks
from domain.errors import Risk
from domain.pricing import pay_price
from domain.schemas.campaigns import Campaign, CampaignFields
from domain.schemas.goods import Goods


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


class Difference(NamedTuple):
    field: str
    before: str
    after: str


def differences(before: Campaign | None, after: Campaign) -> list[Difference]:
    """Returns the fields of a version that differ from those of the one before; of the first version, none."""
    if before is None:
        return []
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    return [Difference(name, str(old[name]), str(new[name])) for name in CampaignFields.model_fields if old[name] != new[name]]
