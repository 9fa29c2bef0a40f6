"""What operators call."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError, WithJsonSchema

from api.dependencies import ContainerDep, OpsDep
from api.http.pagination import Cursor, Limit, Page, campaign_id_of, page, position
from api.openapi.document import refuses
from db.campaigns.goods import read_goods, save_goods
from db.campaigns.store import change_campaign, create_campaign, list_campaigns, read_campaign
from db.core.invariants import Violation, violations
from db.orders.queries import OrderFilter, list_orders
from db.teams.queries import TeamFilter, list_teams, read_team
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import CampaignStatus, OrderStatus, TeamStatus
from domain.schemas.campaigns import Campaign, CampaignFields, NewCampaign
from domain.schemas.goods import Goods
from domain.schemas.orders import OpsOrder
from domain.schemas.teams import OpsTeam, Team
from domain.types import MAX_CAMPAIGN_ID, Identifier, Name, Note, Price, Schema, TeamId

routes = APIRouter(prefix="/v1/ops", tags=["operations"])


NOT_SAVED = refuses(
    ErrorCode.CAMPAIGN_CONFLICT, ErrorCode.GOODS_NOT_FOUND, ErrorCode.AUDIENCE_NOT_FOUND, ErrorCode.CONFIRMATION_REQUIRED
)
CampaignPath = Annotated[int, Path(ge=1, le=MAX_CAMPAIGN_ID)]
CampaignQuery = Annotated[int | None, Query(ge=1, le=MAX_CAMPAIGN_ID)]

Confirm = Annotated[bool, Query(description="accept what may lose money")]


# Whatever may be changed is one of the fields that a campaign is created with, by the same rules, and none must be there.
OF_CHANGES = {
    "type": "object",
    "title": "CampaignChanges",
    "properties": {
        name: {"$ref": f"#/components/schemas/NewCampaign/properties/{name}"} for name in CampaignFields.model_fields
    },
    "additionalProperties": False,
    "examples": [{"status": "paused"}],
}
CampaignChanges = Annotated[dict[str, Any], WithJsonSchema(OF_CHANGES)]


class GoodsFields(Schema):
    name: Name
    original_price: Price


class Extension(Schema):
    minutes: Annotated[int, Query(ge=1, le=525_600)]


class Ending(Schema):
    reason: Note = ""


class Accepted(Schema):
    """The signal is with the workflow; its details say what came of it."""

    accepted: bool = True


class Check(Schema):
    violations: list[Violation]


@routes.put("/goods/{goods_id}")
async def put_goods(goods_id: Identifier, fields: GoodsFields, ops: OpsDep, container: ContainerDep) -> Goods:
    goods = Goods(goods_id=goods_id, name=fields.name, original_price=fields.original_price)
    await save_goods(container.database, goods, by=ops.key_name, now=datetime.now(UTC))
    return goods


@routes.get("/goods/{goods_id}")
async def get_goods(goods_id: Identifier, _ops: OpsDep, container: ContainerDep) -> Goods:
    goods = await read_goods(container.database, goods_id)
    if goods is None:
        raise Refusal(ErrorCode.GOODS_NOT_FOUND, f"There are no goods {goods_id}.")
    return goods


@routes.post("/campaigns", status_code=201, openapi_extra=NOT_SAVED)
async def post_campaign(
    new: NewCampaign,
    ops: OpsDep,
    container: ContainerDep,
    confirm: Confirm = False,
) -> Campaign:
    return await create_campaign(container.database, new, by=ops.key_name, now=datetime.now(UTC), confirmed=confirm)


@routes.patch("/campaigns/{campaign_id}", openapi_extra=NOT_SAVED)
async def patch_campaign(
    campaign_id: CampaignPath,
    changes: CampaignChanges,
    ops: OpsDep,
    container: ContainerDep,
    confirm: Confirm = False,
) -> Campaign:
    """Change any of the fields that a campaign was created with. Running teams keep their terms."""
    now = datetime.now(UTC)
    try:
        return await change_campaign(container.database, campaign_id, changes, by=ops.key_name, now=now, confirmed=confirm)
    except ValidationError as mistake:
        errors = [{**error, "loc": ("body", *error["loc"])} for error in mistake.errors()]
        raise RequestValidationError(errors) from mistake


@routes.get("/campaigns/{campaign_id}")
async def get_campaign(campaign_id: CampaignPath, _ops: OpsDep, container: ContainerDep) -> Campaign:
    campaign = await read_campaign(container.database, campaign_id)
    if campaign is None:
        raise Refusal(ErrorCode.CAMPAIGN_NOT_FOUND, f"There is no campaign {campaign_id}.")
    return campaign


@routes.get("/campaigns")
async def get_campaigns(
    _ops: OpsDep, container: ContainerDep, status: CampaignStatus | None = None, limit: Limit = 20, cursor: Cursor = None
) -> Page[Campaign]:
    before = position(cursor)
    last = campaign_id_of(before) if before else None
    rows = await list_campaigns(container.database, status, last, limit + 1)
    return page(rows, limit, lambda campaign: (campaign.updated_at, str(campaign.campaign_id)))


@routes.get("/teams")
async def get_teams(
    _ops: OpsDep,
    container: ContainerDep,
    source: Identifier | None = None,
    campaign_id: CampaignQuery = None,
    goods_id: Identifier | None = None,
    status: TeamStatus | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[OpsTeam]:
    wanted = TeamFilter(source=source, campaign_id=campaign_id, goods_id=goods_id, status=status)
    rows = await list_teams(container.database, wanted, position(cursor), limit + 1)
    return page(container.links.fill_all(rows), limit, lambda team: (team.opened_at, team.team_id))


@routes.get("/teams/{team_id}")
async def get_team(team_id: TeamId, _ops: OpsDep, container: ContainerDep) -> Team:
    team = await read_team(container.database, None, team_id)
    if team is None:
        raise Refusal(ErrorCode.TEAM_NOT_FOUND, f"There is no team {team_id}.")
    return container.links.fill(team)


@routes.get("/orders")
async def get_orders(
    _ops: OpsDep,
    container: ContainerDep,
    source: Identifier | None = None,
    user_id: Identifier | None = None,
    team_id: TeamId | None = None,
    campaign_id: CampaignQuery = None,
    status: OrderStatus | None = None,
    out_trade_no: Identifier | None = None,
    owed: bool | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[OpsOrder]:
    """Orders, newest first; `owed=true` finds those whose money waits to go back."""
    wanted = OrderFilter(
        source=source,
        user_id=user_id,
        team_id=team_id,
        campaign_id=campaign_id,
        status=status,
        out_trade_no=out_trade_no,
        owed=owed,
    )
    rows = await list_orders(container.database, wanted, position(cursor), limit + 1)
    return page(container.links.fill_all(rows), limit, lambda order: (order.locked_at, order.order_id))


@routes.post("/teams/{team_id}/extend", status_code=202, openapi_extra=refuses(ErrorCode.TEAM_CLOSED))
async def extend(team_id: TeamId, asked: Extension, ops: OpsDep, container: ContainerDep) -> Accepted:
    payload: dict[str, object] = {"minutes": asked.minutes, "operator": ops.key_name}
    await container.trading.signal_team(team_id, "extend", payload)
    return Accepted()


@routes.post("/teams/{team_id}/complete", status_code=202, openapi_extra=refuses(ErrorCode.TEAM_CLOSED))
async def complete(team_id: TeamId, asked: Ending, ops: OpsDep, container: ContainerDep) -> Accepted:
    await container.trading.signal_team(team_id, "complete", {"reason": asked.reason, "operator": ops.key_name})
    return Accepted()


@routes.post("/teams/{team_id}/close", status_code=202, openapi_extra=refuses(ErrorCode.TEAM_CLOSED))
async def close(team_id: TeamId, asked: Ending, ops: OpsDep, container: ContainerDep) -> Accepted:
    await container.trading.signal_team(team_id, "close", {"reason": asked.reason, "operator": ops.key_name})
    return Accepted()


@routes.get("/invariants")
async def get_invariants(_ops: OpsDep, container: ContainerDep) -> Check:
    """What is broken; nothing, if all is well."""
    return Check(violations=await violations(container.database))
