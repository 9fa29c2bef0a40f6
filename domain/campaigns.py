"""Ending a campaign at once: what operators see before, and while it goes on."""

from collections.abc import Sequence
from datetime import datetime

from domain.errors import ConfirmationRequired, Risk
from domain.lifecycle import CampaignStatus
from domain.schemas.campaign_shutdown import NewShutdown, ShutdownPreview
from domain.schemas.campaigns import CampaignFields


def shutdown_risks(asked: NewShutdown, found: ShutdownPreview) -> Sequence[Risk]:
    """Where the ending would do more, or less, than whoever asks for it has seen."""
    risks = []
    if asked.teams != found.teams:
        risks.append(Risk("teams", f"{found.teams} forming team(s) would fail."))
    if (asked.amount or 0) != found.amount:
        risks.append(Risk("amount", f"{found.amount} would go back to {found.paid_orders} buyer(s)."))
    return risks


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
