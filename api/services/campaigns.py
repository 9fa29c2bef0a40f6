"""Ending a campaign at once: its workflow is started first, so that whatever crashes then, the ending goes on."""

from datetime import UTC, datetime

from api.container import Container
from api.http.temporal_errors import answered_within
from db.campaigns.shutdown import begin_shutdown, preview_shutdown, read_shutdown
from db.campaigns.store import read_campaign
from domain.campaigns import require_confirmation, shutdown_risks
from domain.errors import ErrorCode, GroupBuyError, Refusal
from domain.messages.campaigns import BeginShutdown, ShutdownInput
from domain.schemas.campaign_shutdown import NewShutdown, ShutdownPreview, ShutdownProgress, ShutdownStatus
from workflows.campaign_shutdown import start_campaign_shutdown


async def read_shutdown_status(container: Container, campaign_id: int) -> ShutdownPreview | ShutdownProgress:
    """How far the ending of a campaign is, or what it would mean.

    Raises:
        Refusal: campaign_not_found.
    """
    progress = await read_shutdown(container.database, campaign_id)
    if progress is not None:
        return progress
    if await read_campaign(container.database, campaign_id) is None:
        raise Refusal(ErrorCode.CAMPAIGN_NOT_FOUND, f"There is no campaign {campaign_id}.")
    return await preview_shutdown(container.database, campaign_id)


async def shut_down_campaign(
    container: Container, campaign_id: int, asked: NewShutdown, *, by: str, confirmed: bool
) -> tuple[ShutdownProgress, bool]:
    """Ends a campaign with its forming teams; returns how far that is, and whether it had begun before.

    Raises:
        Refusal: campaign_not_found.
        ConfirmationRequired: it would end more, or less, than whoever asks has seen.
        Unavailable: the outcome is open.
    """
    async with answered_within(container.settings.answer_within):
        found = await read_shutdown_status(container, campaign_id)
        if isinstance(found, ShutdownPreview):
            require_confirmation(shutdown_risks(asked, found), confirmed=confirmed)
        if found.status is not ShutdownStatus.DONE:
            await start_campaign_shutdown(
                container.client, ShutdownInput(campaign_id=campaign_id, operator=by, reason=asked.reason)
            )
            begin = BeginShutdown(campaign_id=campaign_id, operator=by, reason=asked.reason, now=datetime.now(UTC))
            await begin_shutdown(container.database, begin)
        progress = await read_shutdown(container.database, campaign_id)
    if progress is None:
        raise GroupBuyError(ErrorCode.INTERNAL_ERROR, "An ending was begun that has no row.")
    return progress, found.status is not ShutdownStatus.NOT_BEGUN
