"""API keys: a new one is shown once."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from api.dependencies import ContainerDep
from api.http.pagination import Cursor, page, position
from console.access import AdminDep, FormDep, PartsDep
from console.forms import act_id_of, field_problems, form_fields, from_texts, new_act_id
from console.problems import FieldProblem
from console.rendering import done, render
from db.settings.keys import create_key, list_keys, revoke_key
from domain.api_keys import key_secret, make_key
from domain.errors import Refusal
from domain.schemas.keys import NewKey
from domain.types import Identifier, Source

router = APIRouter()

ROWS = 50


@router.get("/keys")
async def keys(
    request: Request, _admin: AdminDep, container: ContainerDep, source: Source | None = None, cursor: Cursor = None
) -> Response:
    rows = await list_keys(container.database, source, position(cursor), ROWS + 1)
    found = page(rows, ROWS, lambda key: (key.created_at, key.key_id))
    return render(request, "keys/list.html", keys=found.data, next_cursor=found.next_cursor)


@router.get("/keys/new")
async def ask_new(request: Request, _admin: AdminDep) -> Response:
    return render(request, "keys/new.html", fields=form_fields(NewKey, {}), refusals=[], act_id=new_act_id())


@router.post("/keys/new")
async def create(request: Request, admin: AdminDep, container: ContainerDep, parts: PartsDep, form: FormDep) -> Response:
    errors: list[FieldProblem] = []
    try:
        new = NewKey.model_validate(from_texts(NewKey, form))
        entropy = parts.signer.secret_of("key", act_id_of(form))
        secret = make_key(key_secret(entropy), for_operations=new.source is None)
        key = await create_key(container.database, secret, new, by=admin.author, now=datetime.now(UTC))
        if key.revoked_at is None:
            return render(request, "keys/created.html", 201, key=key, secret=secret)
        errors = [FieldProblem("", f"This form has made the key {key.name} before, which is revoked.")]
    except ValidationError as exc:
        errors = field_problems(exc)
    except Refusal as exc:
        errors = [FieldProblem("", exc.detail, exc.code)]
    fields = form_fields(NewKey, form, errors)
    refusals = [error for error in errors if not error.field]
    return render(request, "keys/new.html", 422, fields=fields, refusals=refusals, act_id=new_act_id())


@router.get("/keys/{key_id}/revoke")
async def ask_revoke(request: Request, key_id: Identifier, admin: AdminDep) -> Response:
    return render(request, "keys/revoke.html", key_id=key_id, is_own=key_id == admin.author.key_id)


@router.post("/keys/{key_id}/revoke")
async def revoke(request: Request, key_id: Identifier, admin: AdminDep, container: ContainerDep) -> Response:
    await revoke_key(container.database, key_id, by=admin.author, now=datetime.now(UTC))
    return done(request, "/keys")
