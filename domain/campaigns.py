"""A campaign: the offer that operators publish (design.md section 6)."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from domain.discounts import Discount
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


def require_move(before: CampaignStatus, after: CampaignStatus) -> None:
    """Raises Refusal when a campaign may not go from one status to the other.

    Nobody leaves `ended`: its buyers may have been told so. Back to `draft` is as good as paused.
    """
    if before is CampaignStatus.ENDED and after is not CampaignStatus.ENDED:
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


def risks(before: CampaignFields | None, after: CampaignFields, now: datetime) -> Sequence[Risk]:
    """What a change brings that may lose money, and that was not so before it: who has accepted a risk is not asked again.

    Args:
        before: the campaign as it is; None for a new one.
        after: as it is to be.
        now: the moment of the change.
    """
    known = _risks(before, now) if before is not None else []
    return [risk for risk in _risks(after, now) if risk not in known]


def _risks(campaign: CampaignFields, now: datetime) -> list[Risk]:
    # Only an active campaign sells.
    if campaign.status is not CampaignStatus.ACTIVE or campaign.ends_at > now:
        return []
    return [Risk("ends_at", f"It was over at {campaign.ends_at:%Y-%m-%d %H:%M:%S} UTC: nobody could open a team.")]


def require_confirmation(found: Sequence[Risk], *, confirmed: bool) -> None:
    """Raises ConfirmationRequired when there is a risk that nobody has accepted."""
    if found and not confirmed:
        raise ConfirmationRequired(found)
