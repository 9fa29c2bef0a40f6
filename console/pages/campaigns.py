"""Campaigns: the list, a campaign with its versions, the form with its preview, and the changes of its status."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from api.container import Container
from api.dependencies import ContainerDep
from api.http.middleware import READS_ONLY
from api.http.pagination import Cursor, campaign_position, page
from api.http.query_params import CampaignQuery
from console.access import FormDep, Operator, OperatorDep, ViewerDep
from console.campaign_preview import Preview, differences, preview
from console.forms import (
    FormError,
    ReasonedAct,
    default_texts,
    field_problems,
    form_fields,
    from_texts,
    new_act_id,
    to_texts,
    validated,
)
from console.problems import FieldProblem
from console.rendering import done, render
from db.campaigns.goods import read_goods
from db.campaigns.store import change_campaign, create_campaign, list_campaigns, read_campaign
from db.campaigns.versions import list_versions
from domain.errors import ConfirmationRequired, ErrorCode, Refusal, Risk
from domain.lifecycle import CampaignStatus
from domain.quotes import explained_quote
from domain.schemas.campaign_shutdown import NewShutdown, ShutdownPreview
from domain.schemas.campaigns import Campaign, CampaignFields, CampaignGoods, NewCampaign
from domain.schemas.quotes import QuoteRequest
from domain.types import MAX_CAMPAIGN_ID, Identifier, Money

router = APIRouter()

ROWS = 50
VERSIONS = 20
PREVIEWED_GOODS = 20
LEFT_OUT = ["currency"]
CampaignPath = Annotated[int, Path(ge=1, le=MAX_CAMPAIGN_ID)]


class StatusAct(StrEnum):
    """A status that a button gives a campaign."""

    ACTIVE = "active"
    PAUSED = "paused"
    DRAINING = "draining"


class Ending(ReasonedAct):
    """Names what the person saw; the end is refused when more would be undone."""

    teams: int
    amount: Money


@router.get("/campaigns")
async def campaigns(
    request: Request,
    _viewer: ViewerDep,
    container: ContainerDep,
    status: CampaignStatus | None = None,
    cursor: Cursor = None,
) -> Response:
    rows = await list_campaigns(container.database, status, campaign_position(cursor), ROWS + 1)
    found = page(rows, ROWS, lambda campaign: (campaign.updated_at, str(campaign.campaign_id)))
    return render(
        request, "campaigns/list.html", campaigns=found.data, next_cursor=found.next_cursor, statuses=list(CampaignStatus)
    )


@router.get("/campaigns/new")
async def ask_new(request: Request, _operator: OperatorDep, container: ContainerDep, copy: CampaignQuery = None) -> Response:
    texts = default_texts(NewCampaign)
    if copy is not None:
        texts = to_texts(await _read(container, copy)) | {"campaign_id": "", "status": CampaignStatus.DRAFT}
    return await _form(request, container, None, texts)


@router.post("/campaigns/new")
async def create(request: Request, operator: OperatorDep, container: ContainerDep, form: FormDep) -> Response:
    try:
        new = NewCampaign.model_validate(from_texts(NewCampaign, form, leave_out=LEFT_OUT))
        campaign = await create_campaign(
            container.database, new, by=operator.author, now=datetime.now(UTC), confirmed=form.get("confirm") == "true"
        )
    except ValidationError as exc:
        return await _form(request, container, None, form, field_problems(exc))
    except ConfirmationRequired as exc:
        return await _form(request, container, None, form, risks=exc.risks)
    except Refusal as exc:
        return await _form(request, container, None, form, [FieldProblem("", exc.detail)])
    return done(request, f"/campaigns/{campaign.campaign_id}")


@router.get("/campaigns/{campaign_id}")
async def campaign(request: Request, campaign_id: CampaignPath, _viewer: ViewerDep, container: ContainerDep) -> Response:
    found = await _read(container, campaign_id)
    versions = await list_versions(container.database, campaign_id, None, VERSIONS)
    older = [*(version.campaign for version in versions[1:]), None]
    return render(
        request,
        "campaigns/campaign.html",
        campaign=found,
        preview=await _preview(container, found, found),
        versions=[(version, differences(old, version.campaign)) for version, old in zip(versions, older, strict=True)],
        shutdown=container.links.fill(await container.campaigns.shutdown_status(campaign_id)),
    )


@router.get("/campaigns/{campaign_id}/quote")
async def ask_quote(
    request: Request,
    campaign_id: CampaignPath,
    _viewer: ViewerDep,
    container: ContainerDep,
    sold: Annotated[str, Query(max_length=200)],
    user_id: Identifier,
) -> Response:
    """What a buyer would pay for one of the campaign's goods (mall, channel and goods), with every rule."""
    try:
        goods = CampaignGoods.model_validate(dict(zip(CampaignGoods.model_fields, sold.split(), strict=False)))
    except ValidationError:
        raise Refusal(ErrorCode.INVALID_REQUEST, "sold: name the mall, the channel and the goods.") from None
    quote = QuoteRequest(goods_id=goods.goods_id, channel=goods.channel, user_id=user_id, campaign_id=campaign_id)
    context = await container.quotes.quote_context(goods.source, quote)
    return render(request, "campaigns/quote.html", user_id=user_id, quote=explained_quote(context))


@router.get("/campaigns/{campaign_id}/edit")
async def ask_edit(request: Request, campaign_id: CampaignPath, _operator: OperatorDep, container: ContainerDep) -> Response:
    found = await _read(container, campaign_id)
    return await _form(request, container, found, to_texts(found))


@router.post("/campaigns/{campaign_id}/edit")
async def edit(
    request: Request, campaign_id: CampaignPath, operator: OperatorDep, container: ContainerDep, form: FormDep
) -> Response:
    found = await _read(container, campaign_id)
    if form.get("seen") != str(found.version):
        return await _form(request, container, found, form, has_changed=True)
    try:
        wanted = CampaignFields.model_validate(from_texts(CampaignFields, form, leave_out=LEFT_OUT))
    except ValidationError as exc:
        return await _form(request, container, found, form, field_problems(exc))
    changes = {name: value for name, value in wanted if value != getattr(found, name)}
    return await _change(request, container, operator, found, changes, form)


@router.post("/campaigns/preview")
async def preview_form(request: Request, _operator: OperatorDep, container: ContainerDep, form: FormDep) -> Response:
    """What the form would lead to as it is filled in now."""
    request.scope[READS_ONLY] = True
    try:
        wanted = CampaignFields.model_validate(from_texts(CampaignFields, form, leave_out=LEFT_OUT))
    except ValidationError as exc:
        return render(request, "campaigns/preview.html", preview=None, errors=field_problems(exc))
    text = form.get("campaign_id", "")
    before = await read_campaign(container.database, int(text)) if form.get("seen") and text.isdecimal() else None
    return render(request, "campaigns/preview.html", preview=await _preview(container, before, wanted), errors=[])


@router.get("/campaigns/{campaign_id}/status/{status}")
async def ask_status(
    request: Request, campaign_id: CampaignPath, status: StatusAct, _operator: OperatorDep, container: ContainerDep
) -> Response:
    return render(request, "campaigns/status.html", campaign=await _read(container, campaign_id), status=status, risks=())


@router.post("/campaigns/{campaign_id}/status/{status}")
async def set_status(
    request: Request,
    campaign_id: CampaignPath,
    status: StatusAct,
    operator: OperatorDep,
    container: ContainerDep,
    form: FormDep,
) -> Response:
    found = await _read(container, campaign_id)
    confirmed, now = form.get("confirm") == "true", datetime.now(UTC)
    try:
        await change_campaign(
            container.database, campaign_id, {"status": status.value}, by=operator.author, now=now, confirmed=confirmed
        )
    except ConfirmationRequired as exc:
        return render(request, "campaigns/status.html", 409, campaign=found, status=status, risks=exc.risks)
    return done(request, f"/campaigns/{campaign_id}")


@router.get("/campaigns/{campaign_id}/ending")
async def ask_ending(request: Request, campaign_id: CampaignPath, _operator: OperatorDep, container: ContainerDep) -> Response:
    return await _ask_ending(request, container, campaign_id, {})


@router.post("/campaigns/{campaign_id}/ending")
async def end(
    request: Request, campaign_id: CampaignPath, operator: OperatorDep, container: ContainerDep, form: FormDep
) -> Response:
    try:
        fields = validated(Ending, form)
    except FormError as error:
        return await _ask_ending(request, container, campaign_id, form, error.errors)
    wanted = NewShutdown(reason=fields.reason, teams=fields.teams, amount=fields.amount)
    try:
        _, replayed = await container.campaigns.shut_down(campaign_id, wanted, by=operator.author, confirmed=False)
    except ConfirmationRequired:
        return await _ask_ending(request, container, campaign_id, form, has_changed=True)
    return done(request, f"/campaigns/{campaign_id}", changed=not replayed)


async def _change(
    request: Request,
    container: Container,
    operator: Operator,
    found: Campaign,
    changes: dict[str, Any],
    form: dict[str, str],
) -> Response:
    if not changes:
        return done(request, f"/campaigns/{found.campaign_id}", changed=False)
    confirmed, now = form.get("confirm") == "true", datetime.now(UTC)
    try:
        await change_campaign(container.database, found.campaign_id, changes, by=operator.author, now=now, confirmed=confirmed)
    except ConfirmationRequired as exc:
        return await _form(request, container, found, form, risks=exc.risks)
    except Refusal as exc:
        return await _form(request, container, found, form, [FieldProblem("", exc.detail)])
    return done(request, f"/campaigns/{found.campaign_id}")


async def _form(
    request: Request,
    container: Container,
    found: Campaign | None,
    texts: dict[str, str],
    errors: Sequence[FieldProblem] = (),
    risks: Sequence[Risk] = (),
    *,
    has_changed: bool = False,
) -> Response:
    """Shows the form of a new campaign, or of the one that was found."""
    try:
        fields = CampaignFields.model_validate(from_texts(CampaignFields, texts, leave_out=LEFT_OUT))
        shown = await _preview(container, found, fields)
    except ValidationError:
        shown = None
    return render(
        request,
        "campaigns/form.html",
        409 if risks or has_changed else 422 if errors else 200,
        campaign=found,
        fields=form_fields(CampaignFields if found else NewCampaign, texts, errors, leave_out=LEFT_OUT),
        refusals=[error.message for error in errors if not error.field],
        risks=risks,
        has_changed=has_changed,
        preview=shown,
        errors=[],
    )


async def _preview(container: Container, before: CampaignFields | None, after: CampaignFields) -> Preview:
    sold = list(dict.fromkeys(each.goods_id for each in after.goods))[:PREVIEWED_GOODS]
    goods = {goods_id: found for goods_id in sold if (found := await read_goods(container.database, goods_id))}
    return preview(before, after, goods, datetime.now(UTC))


async def _ask_ending(
    request: Request,
    container: Container,
    campaign_id: int,
    form: dict[str, str],
    errors: list[FieldProblem] | None = None,
    *,
    has_changed: bool = False,
) -> Response:
    found = await container.campaigns.shutdown_status(campaign_id)
    if not isinstance(found, ShutdownPreview):
        return done(request, f"/campaigns/{campaign_id}", changed=False)
    return render(
        request,
        "campaigns/ending.html",
        409 if has_changed else 422 if errors else 200,
        campaign=await _read(container, campaign_id),
        shutdown=found,
        form=form,
        errors=errors or [],
        has_changed=has_changed,
        act_id=new_act_id(),
    )


async def _read(container: Container, campaign_id: int) -> Campaign:
    found = await read_campaign(container.database, campaign_id)
    if found is None:
        raise Refusal(ErrorCode.CAMPAIGN_NOT_FOUND, f"There is no campaign {campaign_id}.")
    return found
