"""Campaigns as operators write and read them."""

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from domain.lifecycle import CampaignStatus
from domain.pricing import Discount
from domain.types import CampaignId, Identifier, Moment, Name, Schema, Source

MINUTE, HOUR, DAY = 60, 3600, 86400


class Scope(StrEnum):
    """What an audience restricts."""

    VISIBLE = "visible"
    JOIN = "join"


class CampaignGoods(Schema):
    """One goods that a campaign sells, in one channel of one mall."""

    source: Source
    channel: Identifier
    goods_id: Identifier


Count = Annotated[int, Field(strict=True)]
Seconds = Annotated[int, Field(strict=True)]


class CampaignFields(Schema):
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


class CampaignVersion(Schema):
    """What a campaign was from one change to the next, and who made it so."""

    changed_by: str
    changed_at: Moment
    campaign: Campaign
