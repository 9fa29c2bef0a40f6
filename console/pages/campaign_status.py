"""The changes of a campaign's status: a button each, and the end with all its teams."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.container import Container
from api.dependencies import ContainerDep
from console.access import FormDep, OperatorDep
from console.campaigns import CampaignPath, find_campaign
from console.changed import Changed, changed_since
from console.forms import FormError, ReasonedAct, form_act, new_act_id, validated
from console.problems import FieldProblem
from console.rendering import done, render
from db.campaigns.store import change_campaign
from db.core.connection import Database
from db.settings.audit import ChangedSinceError, latest_change
from domain.errors import ConfirmationRequired, Risk
from domain.schemas.campaign_shutdown import NewShutdown, ShutdownPreview
from domain.types import TotalMoney

router = APIRouter()


class StatusAct(StrEnum):
    """A status that a button gives a campaign."""

    ACTIVE = "active"
    PAUSED = "paused"
    DRAINING = "draining"


class Ending(ReasonedAct):
    """Names what the person saw; the end is refused when more would be undone."""

    teams: int
    amount: TotalMoney


@router.get("/campaigns/{campaign_id}/status/{status}")
async def ask_status(
    request: Request, campaign_id: CampaignPath, status: StatusAct, _operator: OperatorDep, container: ContainerDep
) -> Response:
    return await _ask_status(
        request, container.database, campaign_id, status, await latest_change(container.database, f"campaign/{campaign_id}")
    )


@router.post("/campaigns/{campaign_id}/status/{status}")
async def set_status(
    request: Request,
    campaign_id: CampaignPath,
    status: StatusAct,
    operator: OperatorDep,
    container: ContainerDep,
    form: FormDep,
) -> Response:
    act = form_act(form)
    try:
        await change_campaign(
            container.database,
            campaign_id,
            {"status": status.value},
            by=operator.author,
            now=datetime.now(UTC),
            confirmed=form.get("confirm") == "true",
            form=act,
        )
    except ConfirmationRequired as exc:
        return await _ask_status(request, container.database, campaign_id, status, act.seen, risks=exc.risks)
    except ChangedSinceError as exc:
        seen, changed = exc.latest.change_no, changed_since(exc)
        return await _ask_status(request, container.database, campaign_id, status, seen, changed=changed)
    return done(request, f"/campaigns/{campaign_id}")


async def _ask_status(
    request: Request,
    database: Database,
    campaign_id: int,
    status: StatusAct,
    seen: int,
    *,
    risks: Sequence[Risk] = (),
    changed: Changed | None = None,
) -> Response:
    return render(
        request,
        "campaigns/status.html",
        409 if risks or changed else 200,
        campaign=await find_campaign(database, campaign_id),
        status=status,
        risks=risks,
        changed=changed,
        seen=seen,
        act_id=new_act_id(),
    )


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
        campaign=await find_campaign(container.database, campaign_id),
        shutdown=found,
        form=form,
        errors=errors or [],
        has_changed=has_changed,
        act_id=new_act_id(),
    )
