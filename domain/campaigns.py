"""A campaign: the offer that operators publish (design.md section 6)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from domain.discounts import Discount, pay_price
from domain.errors import ConfirmationRequired, ErrorCode, Refusal, Risk
from domain.values import CampaignId, Identifier, Message, Moment, Name, Source

MINUTE, HOUR, DAY = 60, 3600, 86400


class CampaignStatus(StrEnum):
    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    """no new seats"""
    DRAINING = "draining"
    """no new teams, running ones finish"""
    ENDED = "ended"


MOVES: dict[CampaignStatus, set[CampaignStatus]] = {
    CampaignStatus.DRAFT: {CampaignStatus.ACTIVE, CampaignStatus.ENDED},
    CampaignStatus.ACTIVE: {CampaignStatus.PAUSED, CampaignStatus.DRAINING, CampaignStatus.ENDED},
    CampaignStatus.PAUSED: {CampaignStatus.ACTIVE, CampaignStatus.DRAINING, CampaignStatus.ENDED},
    CampaignStatus.DRAINING: {CampaignStatus.ACTIVE, CampaignStatus.PAUSED, CampaignStatus.ENDED},
    CampaignStatus.ENDED: set(),
}
"""Where a campaign may go from a status. Nobody leaves `ended`: its buyers may have been told so."""


def require_move(before: CampaignStatus, after: CampaignStatus) -> None:
    """Raises Refusal when a campaign may not go from one status to the other; to stay is no move."""
    if after is not before and after not in MOVES[before]:
        raise Refusal(ErrorCode.CAMPAIGN_CONFLICT, f"A campaign that is {before} cannot become {after}.")


class Scope(StrEnum):
    """What an audience restricts."""

    VISIBLE = "visible"
    JOIN = "join"


class CampaignGoods(Message):
    """One goods that a campaign sells, in one channel of one mall."""

    source: Source
    channel: Identifier
    goods_id: Identifier


Count = Annotated[int, Field(strict=True)]
Seconds = Annotated[int, Field(strict=True)]


class CampaignFields(Message):
    """What an operator sets. All durations are whole seconds."""

    name: Name
    status: CampaignStatus = CampaignStatus.DRAFT
    starts_at: Moment
    ends_at: Moment
    goods: Annotated[list[CampaignGoods], Field(min_length=1, max_length=1000)]
    discount: Discount
    target_count: Annotated[Count, Field(ge=2, le=1000)]
    min_count: Annotated[Count, Field(ge=1, le=1000)] | None = None
    lock_ttl: Annotated[Seconds, Field(ge=1, le=7 * DAY)] = 15 * MINUTE
    payment_grace: Annotated[Seconds, Field(ge=0, le=DAY)] = 30
    team_ttl: Annotated[Seconds, Field(ge=1, le=366 * DAY)] = DAY
    refund_window: Annotated[Seconds, Field(ge=0, le=366 * DAY)] = 7 * DAY
    take_limit: Annotated[Count, Field(ge=1, le=1_000_000)] = 1
    stock: Annotated[Count, Field(ge=0, le=1_000_000_000)] | None = None
    audience: Identifier | None = None
    audience_scope: Annotated[tuple[Scope, ...], Field(max_length=2)] = ()
    currency: Annotated[str, Field(pattern="^CNY$")] = "CNY"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.ends_at <= self.starts_at:
            raise ValueError("ends_at is after starts_at")
        if self.min_count is not None and self.min_count > self.target_count:
            raise ValueError("min_count is at most target_count")
        places = [(goods.source, goods.channel, goods.goods_id) for goods in self.goods]
        if len(set(places)) != len(places):
            raise ValueError("goods names the same source, channel and goods_id twice")
        return self


class NewCampaign(CampaignFields):
    campaign_id: CampaignId | None = None


class Campaign(CampaignFields):
    campaign_id: CampaignId
    version: int
    """counts the changes; a team names the version it was opened under"""
    updated_at: Moment

    def changed(self, changes: dict[str, Any]) -> CampaignFields:
        """These fields with `changes` applied; raises pydantic.ValidationError when they do not fit together."""
        fields = self.model_dump(include=set(CampaignFields.model_fields))
        return CampaignFields.model_validate(fields | changes)


class CampaignVersion(Message):
    """What a campaign was from one change to the next, and who made it so."""

    changed_by: str
    changed_at: Moment
    campaign: Campaign


# --- what would lose money ---

NEARLY_NOTHING = Decimal("0.10")
"""of the original price"""


def risks(before: CampaignFields | None, after: CampaignFields, prices: Mapping[str, Decimal], now: datetime) -> Sequence[Risk]:
    """What a change brings that may lose money, and that was not so before it: who has accepted a risk is not asked again.

    Args:
        before: the campaign as it is; None for a new one.
        after: as it is to be.
        prices: the original prices of its goods, by goods_id.
        now: the moment of the change.
    """
    known = set(_risks(before, prices, now)) if before is not None else set()
    return [risk for risk in _risks(after, prices, now) if risk not in known]


def _risks(campaign: CampaignFields, prices: Mapping[str, Decimal], now: datetime) -> list[Risk]:
    # Only an active campaign sells.
    if campaign.status is not CampaignStatus.ACTIVE:
        return []
    found = []
    if campaign.ends_at <= now:
        found.append(Risk("ends_at", f"It was over at {campaign.ends_at:%Y-%m-%d %H:%M:%S} UTC: nobody could open a team."))
    for goods_id in sorted({place.goods_id for place in campaign.goods} & set(prices)):
        found += price_risks("discount", goods_id, prices[goods_id], campaign.discount)
    return found


def price_risks(field: str, goods_id: str, original: Decimal, discount: Discount) -> list[Risk]:
    """Whether a discount sells goods for nearly nothing to those whom it is for."""
    price = pay_price(original, discount, in_audience=True)
    if price > original * NEARLY_NOTHING:
        return []
    return [Risk(field, f"{goods_id} would be sold for {price} instead of {original}.")]


def require_confirmation(found: Sequence[Risk], *, confirmed: bool) -> None:
    """Raises ConfirmationRequired when there is a risk that nobody has accepted."""
    if found and not confirmed:
        raise ConfirmationRequired(found)
