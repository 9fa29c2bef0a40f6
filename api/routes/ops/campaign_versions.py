"""The life of a campaign: its versions, and its end."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from api.dependencies import ContainerDep, OpsDep
from api.http.pagination import Cursor, Limit, Page, campaign_id_of, page, position
from api.openapi.document import refuses, repeats
from api.routes.ops.campaigns import CampaignPath, Confirm, get_campaign
from api.routes.orders import mark_replayed
from api.services.campaigns import read_shutdown_status, shut_down_campaign
from db.campaigns.versions import list_versions, read_version
from domain.errors import ErrorCode, Refusal
from domain.schemas.campaign_shutdown import NewShutdown, ShutdownPreview, ShutdownProgress
from domain.schemas.campaigns import CampaignVersion

routes = APIRouter(prefix="/v1/ops/campaigns/{campaign_id}", tags=["operations"])

MAX_VERSION = 2_147_483_646


@routes.get("/versions")
async def get_versions(
    campaign_id: CampaignPath, ops: OpsDep, container: ContainerDep, limit: Limit = 20, cursor: Cursor = None
) -> Page[CampaignVersion]:
    """What the campaign was, whole, with who made it so; the present version first. A team names its own."""
    await get_campaign(campaign_id, ops, container)
    before = position(cursor)
    rows = await list_versions(container.database, campaign_id, campaign_id_of(before) if before else None, limit + 1)
    return page(rows, limit, lambda version: (version.changed_at, str(version.campaign.version)))


@routes.get("/versions/{version}")
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


@routes.get("/ending")
async def get_ending(campaign_id: CampaignPath, _ops: OpsDep, container: ContainerDep) -> ShutdownPreview | ShutdownProgress:
    """What it would mean to end the campaign now; once that has begun, how far it is."""
    return container.links.fill(await read_shutdown_status(container, campaign_id))


@routes.post(
    "/ending",
    status_code=202,
    responses=repeats(ShutdownProgress),
    openapi_extra=refuses(ErrorCode.CONFIRMATION_REQUIRED),
)
async def post_ending(
    campaign_id: CampaignPath,
    ops: OpsDep,
    container: ContainerDep,
    response: Response,
    asked: NewShutdown | None = None,
    confirm: Confirm = False,
) -> ShutdownProgress:
    """End the campaign now, fail every team that is not complete, and return their money.

    Say with `teams` and `amount` what you have seen: the request is refused when it is no longer so. Or confirm whatever it is.
    """
    progress, replayed = await shut_down_campaign(
        container, campaign_id, asked or NewShutdown(), by=ops.key_name, confirmed=confirm
    )
    mark_replayed(response, replayed=replayed)
    return container.links.fill(progress)
