"""Campaigns, their versions and their shutdown."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError, WithJsonSchema

from api.dependencies import Confirm, ContainerDep, OpsDep
from api.http.filters import CampaignFilters
from api.http.pagination import Cursor, Limit, Page, campaign_position, page
from api.http.responses import mark_replayed
from api.http.routing import api_router
from api.openapi.declarations import refuses, repeats
from db.campaigns.store import change_campaign, create_campaign, list_campaigns, read_campaign
from db.campaigns.versions import list_versions, read_version
from domain.errors import ErrorCode, Refusal
from domain.schemas.campaign_shutdown import NewShutdown, ShutdownPreview, ShutdownProgress
from domain.schemas.campaigns import Campaign, CampaignFields, CampaignVersion, NewCampaign
from domain.types import MAX_CAMPAIGN_ID

router = api_router("/v1/ops/campaigns", tags=["operations"])

MAX_VERSION = 2_147_483_646
NOT_SAVED = refuses(
    ErrorCode.CAMPAIGN_CONFLICT, ErrorCode.GOODS_NOT_FOUND, ErrorCode.AUDIENCE_NOT_FOUND, ErrorCode.CONFIRMATION_REQUIRED
)
CampaignPath = Annotated[int, Path(ge=1, le=MAX_CAMPAIGN_ID)]

# A PATCH may hold any of the fields that a campaign is created with, under the same rules, and requires none.
CHANGES_SCHEMA = {
    "type": "object",
    "title": "CampaignChanges",
    "properties": {
        name: {"$ref": f"#/components/schemas/NewCampaign/properties/{name}"} for name in CampaignFields.model_fields
    },
    "additionalProperties": False,
    "examples": [{"status": "paused"}],
}
CampaignChanges = Annotated[dict[str, Any], WithJsonSchema(CHANGES_SCHEMA)]


@router.post("", status_code=201, openapi_extra=NOT_SAVED)
async def post_campaign(new: NewCampaign, ops: OpsDep, container: ContainerDep, confirm: Confirm = False) -> Campaign:
    """Create a campaign."""
    return await create_campaign(container.database, new, by=ops, now=datetime.now(UTC), confirmed=confirm)


@router.patch("/{campaign_id}", openapi_extra=NOT_SAVED)
async def patch_campaign(
    campaign_id: CampaignPath, changes: CampaignChanges, ops: OpsDep, container: ContainerDep, confirm: Confirm = False
) -> Campaign:
    """Change any of a campaign's fields. Running teams keep their terms."""
    now = datetime.now(UTC)
    try:
        return await change_campaign(container.database, campaign_id, changes, by=ops, now=now, confirmed=confirm)
    except ValidationError as exc:
        errors = [{**error, "loc": ("body", *error["loc"])} for error in exc.errors()]
        raise RequestValidationError(errors) from exc


@router.get("/{campaign_id}")
async def get_campaign(campaign_id: CampaignPath, _ops: OpsDep, container: ContainerDep) -> Campaign:
    campaign = await read_campaign(container.database, campaign_id)
    if campaign is None:
        raise Refusal(ErrorCode.CAMPAIGN_NOT_FOUND, f"There is no campaign {campaign_id}.")
    return campaign


@router.get("")
async def get_campaigns(
    _ops: OpsDep, container: ContainerDep, filters: CampaignFilters, limit: Limit = 20, cursor: Cursor = None
) -> Page[Campaign]:
    """List campaigns, the latest change first."""
    rows = await list_campaigns(container.database, filters, campaign_position(cursor), limit + 1)
    return page(rows, limit, lambda campaign: (campaign.updated_at, str(campaign.campaign_id)))


@router.get("/{campaign_id}/versions")
async def get_versions(
    campaign_id: CampaignPath, _ops: OpsDep, container: ContainerDep, limit: Limit = 20, cursor: Cursor = None
) -> Page[CampaignVersion]:
    """List a campaign's versions, each in full with who made it, the present one first. A team names its own version."""
    rows = await list_versions(container.database, campaign_id, campaign_position(cursor), limit + 1)
    if not rows and await read_campaign(container.database, campaign_id) is None:
        raise Refusal(ErrorCode.CAMPAIGN_NOT_FOUND, f"There is no campaign {campaign_id}.")
    return page(rows, limit, lambda version: (version.changed_at, str(version.campaign.version)))


@router.get("/{campaign_id}/versions/{version}")
async def get_version(
    campaign_id: CampaignPath,
    version: Annotated[int, Path(ge=1, le=MAX_VERSION)],
    _ops: OpsDep,
    container: ContainerDep,
) -> CampaignVersion:
    found = await read_version(container.database, campaign_id, version)
    if found is None:
        raise Refusal(ErrorCode.CAMPAIGN_NOT_FOUND, f"There is no version {version} of a campaign {campaign_id}.")
    return found


@router.get("/{campaign_id}/ending")
async def get_ending(campaign_id: CampaignPath, _ops: OpsDep, container: ContainerDep) -> ShutdownPreview | ShutdownProgress:
    """Get the progress of a campaign's shutdown or, before it has begun, what it would do."""
    return container.links.fill(await container.campaigns.shutdown_status(campaign_id))


@router.post(
    "/{campaign_id}/ending",
    status_code=202,
    responses=repeats(ShutdownProgress),
    openapi_extra=refuses(ErrorCode.CONFIRMATION_REQUIRED),
)
async def post_ending(
    campaign_id: CampaignPath,
    ops: OpsDep,
    container: ContainerDep,
    response: Response,
    body: NewShutdown | None = None,
    confirm: Confirm = False,
) -> ShutdownProgress:
    """Shut a campaign down: end it now, fail its forming teams and refund their members.

    Name in `teams` and `amount` what the preview said: the request is refused when that has changed. Or confirm any change.
    """
    progress, replayed = await container.campaigns.shut_down(campaign_id, body or NewShutdown(), by=ops, confirmed=confirm)
    mark_replayed(response, replayed=replayed)
    return container.links.fill(progress)
