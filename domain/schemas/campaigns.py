"""The public JSON of campaigns."""

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from domain.lifecycle import CampaignStatus
from domain.pricing import Discount
from domain.types import CampaignId, Identifier, Moment, Name, Schema, Source

MINUTE, HOUR, DAY = 60, 3600, 86400


class AudienceScope(StrEnum):
    """What an audience restricts: who may see a campaign, or who may take a seat."""

    VISIBLE = "visible"
    JOIN = "join"


class CampaignGoods(Schema):
    """Goods that a campaign sells in one channel of one mall."""

    source: Source
    channel: Identifier
    goods_id: Identifier


Count = Annotated[int, Field(strict=True)]
Seconds = Annotated[int, Field(strict=True)]


class CampaignFields(Schema):
    """The fields of a campaign that an operator sets. Durations are whole seconds."""

    name: Name
    status: CampaignStatus = CampaignStatus.DRAFT
    starts_at: Moment
    ends_at: Moment
    goods: Annotated[list[CampaignGoods], Field(min_length=1, max_length=1000)]
    discount: Discount
    target_count: Annotated[Count, Field(ge=2, le=1000)]
    """members of a complete team"""
    min_count: Annotated[Count, Field(ge=1, le=1000)] | None = None
    """paid members with which a team completes at its deadline; null: only target_count completes it"""
    lock_ttl: Annotated[Seconds, Field(ge=1, le=7 * DAY)] = 15 * MINUTE
    """payment window of a seat"""
    payment_grace: Annotated[Seconds, Field(ge=0, le=DAY)] = 30
    """how long after its window a seat is still kept for a payment that was made in time"""
    team_ttl: Annotated[Seconds, Field(ge=1, le=366 * DAY)] = DAY
    """how long a team may form; it ends with the campaign at the latest"""
    refund_window: Annotated[Seconds, Field(ge=0, le=366 * DAY)] = 7 * DAY
    """how long after its completion a team's members may request refunds"""
    take_limit: Annotated[Count, Field(ge=1, le=1_000_000)] = 1
    """live orders that one user may have in the campaign"""
    stock: Annotated[Count, Field(ge=0, le=1_000_000_000)] | None = None
    """live orders that the campaign may have; null: no limit"""
    merchant_share: Annotated[Count, Field(ge=0, le=100)] = 100
    """percent of the discount that the mall bears; the platform bears the rest"""
    audience: Identifier | None = None
    audience_scope: Annotated[tuple[AudienceScope, ...], Field(max_length=2)] = ()
    currency: Annotated[str, Field(pattern="^CNY$")] = "CNY"

    @model_validator(mode="after")
    def _fields_are_consistent(self) -> Self:
        if self.ends_at <= self.starts_at:
            raise ValueError("ends_at is after starts_at")
        if self.min_count is not None and self.min_count > self.target_count:
            raise ValueError("min_count is at most target_count")
        goods = [(each.source, each.channel, each.goods_id) for each in self.goods]
        if len(set(goods)) != len(goods):
            raise ValueError("goods names the same source, channel and goods_id twice")
        return self


class NewCampaign(CampaignFields):
    """A campaign to create."""

    campaign_id: CampaignId | None = None
    """null: the platform assigns one"""


class Campaign(CampaignFields):
    """A campaign as it is now."""

    campaign_id: CampaignId
    version: int
    """counts the changes; a team has the version it was opened under"""
    updated_at: Moment

    def changed(self, changes: dict[str, Any]) -> CampaignFields:
        """Returns these fields with `changes` applied.

        Raises:
            pydantic.ValidationError: the result is invalid.
        """
        fields = self.model_dump(include=set(CampaignFields.model_fields))
        return CampaignFields.model_validate(fields | changes)


class CampaignVersion(Schema):
    """A campaign as it was after one of its changes."""

    changed_by: str
    """name of the key"""
    changed_at: Moment
    campaign: Campaign
