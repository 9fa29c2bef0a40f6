"""Changes of campaigns that may lose money, and therefore need a confirmation."""

from collections.abc import Sequence
from datetime import datetime

from domain.errors import ConfirmationRequired, Risk
from domain.lifecycle import CampaignStatus
from domain.schemas.campaign_shutdown import NewShutdown, ShutdownPreview
from domain.schemas.campaigns import CampaignFields


def campaign_risks(before: CampaignFields | None, after: CampaignFields, now: datetime) -> Sequence[Risk]:
    """Returns the risks that a change adds; those that the campaign had before were accepted then.

    Args:
        before: the campaign as it is; None: it is new.
        after: the campaign as it will be.
        now: the time of the change.
    """
    accepted = _risks(before, now) if before is not None else []
    return [risk for risk in _risks(after, now) if risk not in accepted]


def _risks(campaign: CampaignFields, now: datetime) -> list[Risk]:
    # A campaign of any other status sells nothing.
    if campaign.status is not CampaignStatus.ACTIVE or campaign.ends_at > now:
        return []
    return [Risk("ends_at", f"The campaign ended at {campaign.ends_at:%Y-%m-%d %H:%M:%S} UTC: nobody could open a team.")]


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
