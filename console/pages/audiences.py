"""Audiences: uploads with progress and bad lines, rules, and the check of one buyer."""

from collections.abc import Sequence
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from api.dependencies import ContainerDep
from api.http.pagination import Cursor, page, position
from console.access import FormDep, OperatorDep, ViewerDep
from console.forms import act_id_of, field_problems, form_fields, from_texts, new_act_id, recorded_id
from console.problems import FieldProblem
from console.rendering import done, go_to, render
from db.audiences.store import is_member, list_audiences, read_audience, save_audience
from db.settings.audit import ChangedSinceError, FormAct
from domain.audience_upload import UploadFormat
from domain.errors import Refusal
from domain.schemas.audiences import AudienceFields, AudienceRule
from domain.types import Identifier, Schema

router = APIRouter()

ROWS = 50
FORMATS = {"text/csv": UploadFormat.CSV, "application/jsonl": UploadFormat.JSON_LINES}


class NewAudience(AudienceFields):
    audience_id: Identifier


class Check(Schema):
    user_id: Identifier


@router.get("/audiences")
async def audiences(request: Request, _viewer: ViewerDep, container: ContainerDep, cursor: Cursor = None) -> Response:
    rows = await list_audiences(container.database, position(cursor), ROWS + 1)
    found = page(rows, ROWS, lambda audience: (audience.created_at, audience.audience_id))
    return render(request, "audiences/list.html", audiences=found.data, next_cursor=found.next_cursor)


@router.get("/audiences/new")
async def ask_new(request: Request, _operator: OperatorDep) -> Response:
    return _new(request, {})


@router.post("/audiences/new")
async def create(request: Request, operator: OperatorDep, container: ContainerDep, form: FormDep) -> Response:
    try:
        new = NewAudience.model_validate(from_texts(NewAudience, form))
        # A form of a new audience has seen none: it must not rename one that there is.
        act, now = FormAct(recorded_id(form), seen=0), datetime.now(UTC)
        await save_audience(container.database, new.audience_id, new.name, by=operator.author, now=now, form=act)
    except ValidationError as exc:
        return _new(request, form, field_problems(exc))
    except ChangedSinceError:
        return _new(request, form, [FieldProblem("audience_id", f"There is an audience {new.audience_id} already.")])
    return done(request, f"/audiences/{new.audience_id}")


def _new(request: Request, form: dict[str, str], errors: Sequence[FieldProblem] = ()) -> Response:
    fields = form_fields(NewAudience, form, errors)
    return render(request, "audiences/new.html", 422 if errors else 200, fields=fields, act_id=new_act_id())


@router.get("/audiences/{audience_id}")
async def audience(
    request: Request, audience_id: Identifier, _viewer: ViewerDep, container: ContainerDep, user_id: Identifier | None = None
) -> Response:
    found = container.links.fill(await read_audience(container.database, audience_id))
    member = None if user_id is None else await is_member(container.database, audience_id, user_id)
    return render(request, "audiences/audience.html", audience=found, user_id=user_id, member=member)


@router.post("/audiences/{audience_id}/members")
async def upload(request: Request, audience_id: Identifier, operator: OperatorDep, container: ContainerDep) -> Response:
    """Takes a file as the script of the page sends it: as the body, with the token in a header."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip()
    upload_format = FORMATS.get(content_type, UploadFormat.CSV)
    await container.audiences.upload(audience_id, upload_format, request.stream(), by=operator.author)
    return go_to(request, f"/audiences/{audience_id}")


@router.get("/audiences/{audience_id}/rule")
async def ask_rule(request: Request, audience_id: Identifier, _operator: OperatorDep) -> Response:
    return _rule(request, audience_id, {}, [])


@router.post("/audiences/{audience_id}/rule")
async def select(
    request: Request, audience_id: Identifier, operator: OperatorDep, container: ContainerDep, form: FormDep
) -> Response:
    try:
        rule = AudienceRule.model_validate(from_texts(AudienceRule, form))
        await container.audiences.import_by_rule(audience_id, rule, by=operator.author, act_id=act_id_of(form))
    except ValidationError as exc:
        return _rule(request, audience_id, form, field_problems(exc))
    except Refusal as exc:
        return _rule(request, audience_id, form, [FieldProblem("", exc.detail, exc.code)])
    return done(request, f"/audiences/{audience_id}")


def _rule(request: Request, audience_id: str, form: dict[str, str], errors: list[FieldProblem]) -> Response:
    return render(
        request,
        "audiences/rule.html",
        422 if errors else 200,
        audience_id=audience_id,
        fields=form_fields(AudienceRule, form, errors),
        act_id=new_act_id(),
        refusals=[error for error in errors if not error.field],
    )
