"""The form of a campaign, with its preview: new, copied, or changed."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from api.container import Container
from api.dependencies import ContainerDep
from api.http.middleware import READS_ONLY
from api.http.query_params import CampaignQuery
from console.access import FormDep, Operator, OperatorDep
from console.campaigns import CampaignPath, find_campaign, read_preview
from console.changed import Changed, changed_since
from console.forms import default_texts, field_problems, form_act, form_fields, from_texts, new_act_id, recorded_id, to_texts
from console.problems import FieldProblem
from console.rendering import done, render
from db.campaigns.store import change_campaign, create_campaign, read_campaign
from db.settings.audit import ChangedSinceError, FormAct, latest_change, was_done
from domain.errors import ConfirmationRequired, Refusal, Risk
from domain.lifecycle import CampaignStatus
from domain.schemas.campaigns import Campaign, CampaignFields, NewCampaign
from domain.types import Identifier, Schema

router = APIRouter()

LEFT_OUT = ["currency"]


@router.get("/campaigns/new")
async def ask_new(request: Request, _operator: OperatorDep, container: ContainerDep, copy: CampaignQuery = None) -> Response:
    texts = default_texts(NewCampaign)
    if copy is not None:
        texts = to_texts(await find_campaign(container.database, copy)) | {"campaign_id": "", "status": CampaignStatus.DRAFT}
    return await _form(request, container, None, texts)


@router.post("/campaigns/new")
async def create(request: Request, operator: OperatorDep, container: ContainerDep, form: FormDep) -> Response:
    try:
        new = NewCampaign.model_validate(from_texts(NewCampaign, form, leave_out=LEFT_OUT))
        campaign = await create_campaign(
            container.database,
            new,
            by=operator.author,
            now=datetime.now(UTC),
            confirmed=form.get("confirm") == "true",
            form=FormAct(recorded_id(form), seen=0),
        )
    except ValidationError as exc:
        return await _form(request, container, None, form, field_problems(exc))
    except ConfirmationRequired as exc:
        return await _form(request, container, None, form, risks=exc.risks)
    except Refusal as exc:
        return await _form(request, container, None, form, [FieldProblem("", exc.detail, exc.code)])
    return done(request, f"/campaigns/{campaign.campaign_id}")


@router.get("/campaigns/{campaign_id}/edit")
async def ask_edit(request: Request, campaign_id: CampaignPath, _operator: OperatorDep, container: ContainerDep) -> Response:
    seen = await latest_change(container.database, f"campaign/{campaign_id}")
    found = await find_campaign(container.database, campaign_id)
    return await _form(request, container, found, to_texts(found), seen=seen)


@router.post("/campaigns/{campaign_id}/edit")
async def edit(
    request: Request, campaign_id: CampaignPath, operator: OperatorDep, container: ContainerDep, form: FormDep
) -> Response:
    act, found = form_act(form), await find_campaign(container.database, campaign_id)
    try:
        wanted = _fields(form)
    except ValidationError as exc:
        return await _form(request, container, found, form, field_problems(exc), seen=act.seen)
    shown = _fields(to_texts(found))  # the form has whole seconds
    changes = {name: value for name, value in wanted if value != getattr(shown, name)}
    return await _change(request, container, operator, found, changes, form, act)


@router.post("/campaigns/preview")
async def preview_form(request: Request, _operator: OperatorDep, container: ContainerDep, form: FormDep) -> Response:
    """What the form would lead to as it is filled in now."""
    request.scope[READS_ONLY] = True
    try:
        wanted, buyer = _fields(form), _buyer(form)
    except ValidationError as exc:
        return render(request, "campaigns/preview.html", preview=None, errors=field_problems(exc))
    text = form.get("campaign_id", "")
    before = await read_campaign(container.database, int(text)) if form.get("seen") and text.isdecimal() else None
    shown = await read_preview(container.database, before, wanted, buyer)
    return render(request, "campaigns/preview.html", preview=shown, buyer=buyer, errors=[])


def _fields(texts: Mapping[str, str]) -> CampaignFields:
    """Returns what the texts of a form say. Raises ValidationError."""
    return CampaignFields.model_validate(from_texts(CampaignFields, texts, leave_out=LEFT_OUT))


class SampleBuyer(Schema):
    """To whom the preview applies the rules; no field of the campaign."""

    buyer: Identifier | None = None


def _buyer(texts: Mapping[str, str]) -> str | None:
    """Raises ValidationError."""
    return SampleBuyer(buyer=texts.get("buyer") or None).buyer


async def _change(
    request: Request,
    container: Container,
    operator: Operator,
    found: Campaign,
    changes: dict[str, Any],
    form: dict[str, str],
    act: FormAct,
) -> Response:
    if not changes:
        is_done = await was_done(container.database, f"campaign/{found.campaign_id}", act.act_id)
        return done(request, f"/campaigns/{found.campaign_id}", changed=is_done)
    confirmed, now = form.get("confirm") == "true", datetime.now(UTC)
    try:
        await change_campaign(
            container.database, found.campaign_id, changes, by=operator.author, now=now, confirmed=confirmed, form=act
        )
    except ConfirmationRequired as exc:
        return await _form(request, container, found, form, risks=exc.risks, seen=act.seen)
    except Refusal as exc:
        return await _form(request, container, found, form, [FieldProblem("", exc.detail, exc.code)], seen=act.seen)
    except ChangedSinceError as exc:
        found = await find_campaign(container.database, found.campaign_id)
        return await _form(request, container, found, form, changed=changed_since(exc), seen=exc.latest.change_no)
    return done(request, f"/campaigns/{found.campaign_id}")


async def _form(
    request: Request,
    container: Container,
    found: Campaign | None,
    texts: dict[str, str],
    errors: Sequence[FieldProblem] = (),
    risks: Sequence[Risk] = (),
    *,
    changed: Changed | None = None,
    seen: int = 0,
) -> Response:
    """Shows the form of a new campaign, or of the one that was found."""
    try:
        buyer = _buyer(texts)
        shown = await read_preview(container.database, found, _fields(texts), buyer)
    except ValidationError:
        buyer, shown = None, None
    return render(
        request,
        "campaigns/form.html",
        409 if risks or changed else 422 if errors else 200,
        campaign=found,
        fields=form_fields(CampaignFields if found else NewCampaign, texts, errors, leave_out=LEFT_OUT),
        refusals=[error for error in errors if not error.field],
        risks=risks,
        changed=changed,
        seen=seen,
        preview=shown,
        buyer=buyer,
        errors=[],
        act_id=new_act_id(),
    )
