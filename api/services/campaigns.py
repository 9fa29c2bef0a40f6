"""Shuts campaigns down. The workflow is started before the first change, so that a crash cannot leave a shutdown half done."""

from datetime import UTC, datetime

from temporalio.client import Client

from api.http.temporal_errors import time_limit
from db.campaigns.shutdown import begin_shutdown, preview_shutdown, read_shutdown
from db.campaigns.store import read_campaign
from db.core.connection import Database
from domain.campaigns import require_confirmation, shutdown_risks
from domain.errors import ErrorCode, GroupBuyError, Refusal
from domain.messages.acts import Author
from domain.messages.campaigns import BeginShutdown, ShutdownInput
from domain.schemas.campaign_shutdown import NewShutdown, ShutdownPreview, ShutdownProgress, ShutdownStatus
from settings import Settings
from workflows.starters import start_campaign_shutdown


class CampaignService:
    def __init__(self, database: Database, client: Client, settings: Settings) -> None:
        self._database = database
        self._client = client
        self._settings = settings

    async def shutdown_status(self, campaign_id: int) -> ShutdownPreview | ShutdownProgress:
        """Returns the progress of a campaign's shutdown or, before it has begun, what it would do.

        Raises:
            Refusal: campaign_not_found.
        """
        progress = await read_shutdown(self._database, campaign_id)
        if progress is not None:
            return progress
        if await read_campaign(self._database, campaign_id) is None:
            raise Refusal(ErrorCode.CAMPAIGN_NOT_FOUND, f"There is no campaign {campaign_id}.")
        return await preview_shutdown(self._database, campaign_id)

    async def shut_down(
        self, campaign_id: int, request: NewShutdown, *, by: Author, confirmed: bool
    ) -> tuple[ShutdownProgress, bool]:
        """Ends a campaign with its forming teams; returns the progress, and whether the shutdown had begun before.

        Raises:
            Refusal: campaign_not_found.
            ConfirmationRequired: the rows differ from what the request says it would do.
            Unavailable: the outcome is unknown.
        """
        async with time_limit(self._settings.answer_within):
            found = await self.shutdown_status(campaign_id)
            if isinstance(found, ShutdownPreview):
                require_confirmation(shutdown_risks(request, found), confirmed=confirmed)
            if found.status is not ShutdownStatus.DONE:
                shutdown = ShutdownInput(campaign_id=campaign_id, operator=by.operator, author=by, reason=request.reason)
                await start_campaign_shutdown(self._client, shutdown)
                begin = BeginShutdown(campaign_id=campaign_id, author=by, reason=request.reason, now=datetime.now(UTC))
                await begin_shutdown(self._database, begin)
            progress = await read_shutdown(self._database, campaign_id)
        if progress is None:
            raise GroupBuyError(ErrorCode.INTERNAL_ERROR, "A shutdown has begun that has no row.")
        return progress, found.status is not ShutdownStatus.NOT_BEGUN
