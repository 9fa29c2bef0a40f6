"""Changes of campaigns that may lose money, and therefore need a confirmation."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from domain.errors import ConfirmationRequired, Risk
from domain.lifecycle import SELLING, CampaignStatus
from domain.pricing import Discount, DiscountPlan, pay_price
from domain.schemas.campaign_shutdown import NewShutdown, ShutdownPreview
from domain.schemas.campaigns import CampaignFields
from domain.types import CENT

LARGE_DEDUCTION = Decimal("0.9")
"""share of the price; a larger one is probably a mistake"""


def campaign_risks(
    before: CampaignFields | None, after: CampaignFields, prices: Mapping[str, Decimal], now: datetime
) -> Sequence[Risk]:
    """Returns the risks that a change adds; those that the campaign had before were accepted then.

    Args:
        before: the campaign as it is; None: it is new.
        after: the campaign as it will be.
        prices: the original prices of its goods.
        now: the time of the change.
    """
    accepted = _risks(before, prices, now) if before is not None else []
    return [risk for risk in _risks(after, prices, now) if risk not in accepted]


def _risks(campaign: CampaignFields, prices: Mapping[str, Decimal], now: datetime) -> list[Risk]:
    # A draft sells nothing, nor does one that was ended.
    if campaign.status not in SELLING:
        return []
    sold = sorted({goods.goods_id for goods in campaign.goods} & prices.keys())
    risks = [
        Risk("discount", risk) for goods_id in sold if (risk := _discount_risk(goods_id, prices[goods_id], campaign.discount))
    ]
    if campaign.audience is not None and not campaign.audience_scope:
        risks.append(Risk("audience_scope", f"Audience {campaign.audience} restricts nothing without a scope: visible, join."))
    if campaign.status is CampaignStatus.ACTIVE and campaign.ends_at <= now:
        ended = f"The campaign ended at {campaign.ends_at:%Y-%m-%d %H:%M:%S} UTC: nobody could open a team."
        risks.append(Risk("ends_at", ended))
    return risks


def _discount_risk(goods_id: str, price: Decimal, discount: Discount) -> str | None:
    """Returns what is probably wrong with a discount on goods of this price."""
    pays = pay_price(price, discount, in_audience=True)
    if price - pays > LARGE_DEDUCTION * price:
        return f"{goods_id} costs {price}, and would be sold for {pays}: {(1 - pays / price) * 100:.1f} % less."
    # Below 0.01 a price is not cut, which hides an amount that is larger than the price.
    if pays == CENT and discount.plan in {DiscountPlan.CUT, DiscountPlan.FULL_CUT} and pays < price:
        return f"{goods_id} costs {price}, and would be sold for {pays}, the least price."
    return None


def price_risks(goods_id: str, before: Decimal, after: Decimal, sold: Mapping[int, Discount]) -> Sequence[Risk]:
    """Returns the risks of another price for goods that campaigns sell now or later: `sold` has their discounts by id.

    Teams that are open keep their price; new ones get the new one.
    """
    if before == after:
        return []
    risks = []
    for campaign_id, discount in sorted(sold.items()):
        pays, would_pay = (pay_price(price, discount, in_audience=True) for price in (before, after))
        risks.append(f"Campaign {campaign_id} sells {goods_id} for {pays}, and would for {would_pay}.")
        if risk := _discount_risk(goods_id, after, discount):
            risks.append(f"Campaign {campaign_id}: {risk}")
    return [Risk("original_price", risk) for risk in risks]


def shutdown_risks(request: NewShutdown, preview: ShutdownPreview) -> Sequence[Risk]:
    """Returns where a shutdown would undo other teams or amounts than its request names."""
    risks = []
    if request.teams != preview.teams:
        risks.append(Risk("teams", f"{preview.teams} forming team(s) would fail."))
    if (request.amount or 0) != preview.amount:
        risks.append(Risk("amount", f"{preview.amount} would be returned to {preview.paid_orders} buyer(s)."))
    return risks


def require_confirmation(risks: Sequence[Risk], *, confirmed: bool) -> None:
    """Raises ConfirmationRequired where there are risks that the request does not confirm."""
    if risks and not confirmed:
        raise ConfirmationRequired(risks)
