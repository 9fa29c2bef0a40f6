"""Ending a campaign at once: its workflow is started first, so that whatever crashes then, the ending goes on."""

from datetime import UTC, datetime

from api.answers import answered_within
from api.platform import Platform
from db.administration import read_campaign
from db.endings import begin_ending, preview_ending, read_ending
from domain.campaigns import require_confirmation
from domain.endings import EndingPreview, EndingProgress, EndingStatus, NewEnding, ending_risks
from domain.errors import ErrorCode, GroupBuyError, Refusal
from domain.messages import BeginEnding, EndingInput
from workflows.ending import start_ending


async def ending_of(platform: Platform, campaign_id: int) -> EndingPreview | EndingProgress:
    """How far the ending of a campaign is, or what it would mean.

    Raises:
        Refusal: campaign_not_found.
    """
    progress = await read_ending(platform.database, platform.history, campaign_id)
    if progress is not None:
        return progress
    if await read_campaign(platform.database, campaign_id) is None:
        raise Refusal(ErrorCode.CAMPAIGN_NOT_FOUND, f"There is no campaign {campaign_id}.")
    return await preview_ending(platform.database, campaign_id)


async def end_campaign(
    platform: Platform, campaign_id: int, asked: NewEnding, *, by: str, confirmed: bool
) -> tuple[EndingProgress, bool]:
    """Ends a campaign with its forming teams; returns how far that is, and whether it had begun before.

    Raises:
        Refusal: campaign_not_found.
        ConfirmationRequired: it would end more, or less, than whoever asks has seen.
        Unavailable: the outcome is open.
    """
    async with answered_within(platform.settings.answer_within):
        found = await ending_of(platform, campaign_id)
        if isinstance(found, EndingPreview):
            require_confirmation(ending_risks(asked, found), confirmed=confirmed)
        if found.status is not EndingStatus.DONE:
            await start_ending(platform.client, EndingInput(campaign_id=campaign_id, operator=by, reason=asked.reason))
            begin = BeginEnding(campaign_id=campaign_id, operator=by, reason=asked.reason, now=datetime.now(UTC))
            await begin_ending(platform.database, begin)
        progress = await read_ending(platform.database, platform.history, campaign_id)
    if progress is None:
        raise GroupBuyError(ErrorCode.INTERNAL_ERROR, "An ending was begun that has no row.")
    return progress, found.status is not EndingStatus.NOT_BEGUN
