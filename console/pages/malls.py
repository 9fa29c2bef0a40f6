"""Malls: callback settings, secrets with rotation, networks of the legacy format."""

import base64
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from api.dependencies import ContainerDep
from console.access import AdminDep, FormDep, PartsDep
from console.changed import Changed, changed_since
from console.forms import (
    act_id_of,
    default_texts,
    field_problems,
    form_act,
    form_fields,
    from_texts,
    new_act_id,
    to_texts,
)
from console.problems import FieldProblem
from console.rendering import done, render
from db.core.connection import Database
from db.settings.audit import ChangedSinceError, FormAct, latest_change, was_done
from db.settings.malls import add_webhook_secret, drop_old_webhook_secrets, list_malls, put_mall, read_mall
from domain.errors import ErrorCode, Refusal
from domain.messages.acts import Author
from domain.schemas.callback_settings import HttpCallback
from domain.schemas.malls import Mall, MallFields
from domain.types import Source

router = APIRouter()

ROWS = 50
SOURCE: TypeAdapter[str] = TypeAdapter(Source)
LEFT_OUT = ["callback"]
CALLBACK = "callback_to"
"""the field for a mall's default callback: a URL, or a routing key"""


@router.get("/malls")
async def malls(request: Request, _admin: AdminDep, container: ContainerDep, after: Source | None = None) -> Response:
    rows = await list_malls(container.database, after, ROWS + 1)
    shown = rows[:ROWS]
    return render(request, "malls/list.html", malls=shown, after=shown[-1].source if len(rows) > ROWS else None)


@router.get("/malls/new")
async def ask_new(request: Request, _admin: AdminDep) -> Response:
    return _form(request, None, default_texts(MallFields, leave_out=LEFT_OUT), seen=0)


@router.post("/malls/new")
async def create(request: Request, admin: AdminDep, container: ContainerDep, form: FormDep) -> Response:
    source, act = form.get("source", ""), form_act(form)
    try:
        SOURCE.validate_python(source)
    except ValidationError as exc:
        return _form(request, None, form, [FieldProblem("source", error.message) for error in field_problems(exc)], seen=0)
    is_known = await read_mall(container.database, source) is not None
    if is_known and not await was_done(container.database, f"mall/{source}", act.act_id):
        return _form(request, None, form, [FieldProblem("source", f"There is a mall {source} already.")], seen=0)
    return await _save(request, container.database, source, admin.author, form, act, is_new=True)


@router.get("/malls/{source}")
async def mall(request: Request, source: Source, _admin: AdminDep, container: ContainerDep) -> Response:
    return await _show(request, container.database, source)


@router.get("/malls/{source}/edit")
async def ask_edit(request: Request, source: Source, _admin: AdminDep, container: ContainerDep) -> Response:
    seen = await latest_change(container.database, f"mall/{source}")
    found = await _read(container.database, source)
    return _form(request, source, to_texts(found, leave_out=LEFT_OUT) | {CALLBACK: _callback_text(found)}, seen=seen)


@router.post("/malls/{source}/edit")
async def edit(request: Request, source: Source, admin: AdminDep, container: ContainerDep, form: FormDep) -> Response:
    await _read(container.database, source)
    return await _save(request, container.database, source, admin.author, form, form_act(form), is_new=False)


@router.get("/malls/{source}/secret")
async def ask_secret(request: Request, source: Source, _admin: AdminDep, container: ContainerDep) -> Response:
    return _ask_secret(request, source, await latest_change(container.database, f"mall/{source}"))


@router.post("/malls/{source}/secret")
async def rotate_secret(
    request: Request, source: Source, admin: AdminDep, container: ContainerDep, parts: PartsDep, form: FormDep
) -> Response:
    act = form_act(form)
    secret = f"whsec_{base64.b64encode(parts.signer.secret_of(f'webhook {source}', act_id_of(form))).decode()}"
    try:
        found = await add_webhook_secret(container.database, source, secret, by=admin.author, now=datetime.now(UTC), form=act)
    except ChangedSinceError as exc:
        return _ask_secret(request, source, exc.latest.change_no, changed_since(exc))
    return render(request, "malls/new_secret.html", 201, mall=found, secret=secret)


@router.post("/malls/{source}/drop_secret")
async def drop_secret(request: Request, source: Source, admin: AdminDep, container: ContainerDep, form: FormDep) -> Response:
    now = datetime.now(UTC)
    try:
        await drop_old_webhook_secrets(container.database, source, by=admin.author, now=now, form=form_act(form))
    except ChangedSinceError as exc:
        return await _show(request, container.database, source, changed_since(exc))
    return done(request, f"/malls/{source}")


async def _save(
    request: Request,
    database: Database,
    source: str,
    author: Author,
    form: dict[str, str],
    act: FormAct,
    *,
    is_new: bool,
) -> Response:
    address = form.get(CALLBACK, "")
    callback = None
    if address:
        callback = {"kind": "http", "url": address} if "://" in address else {"kind": "amqp", "routing_key": address}
    values = from_texts(MallFields, form, leave_out=LEFT_OUT) | {"callback": callback}
    shown = None if is_new else source
    try:
        fields = MallFields.model_validate(values)
        await put_mall(database, source, fields, by=author, now=datetime.now(UTC), form=act)
    except ValidationError as exc:
        return _form(request, shown, form, field_problems(exc), seen=act.seen)
    except Refusal as exc:
        return _form(request, shown, form, [FieldProblem(CALLBACK, exc.detail, exc.code)], seen=act.seen)
    except ChangedSinceError as exc:
        return _form(request, shown, form, changed=changed_since(exc), seen=exc.latest.change_no)
    return done(request, f"/malls/{source}")


async def _show(request: Request, database: Database, source: str, changed: Changed | None = None) -> Response:
    seen = await latest_change(database, f"mall/{source}")
    found = await _read(database, source)
    return render(
        request,
        "malls/mall.html",
        409 if changed else 200,
        mall=found,
        callback=_callback_text(found),
        changed=changed,
        seen=seen,
        act_id=new_act_id(),
    )


def _ask_secret(request: Request, source: str, seen: int, changed: Changed | None = None) -> Response:
    status = 409 if changed else 200
    return render(request, "malls/secret.html", status, source=source, changed=changed, seen=seen, act_id=new_act_id())


def _form(
    request: Request,
    source: str | None,
    texts: dict[str, str],
    errors: list[FieldProblem] | None = None,
    *,
    changed: Changed | None = None,
    seen: int,
) -> Response:
    errors = errors or []
    return render(
        request,
        "malls/form.html",
        409 if changed else 422 if errors else 200,
        changed=changed,
        seen=seen,
        act_id=new_act_id(),
        source=source,
        texts=texts,
        fields=form_fields(MallFields, texts, errors, leave_out=LEFT_OUT),
        # A rule of the whole model has no field; the one there is speaks of the callback.
        callback_errors=[error for error in errors if not error.field or error.field.startswith("callback.")]
        + [error for error in errors if error.field == CALLBACK],
        source_errors=[error for error in errors if error.field == "source"],
    )


def _callback_text(mall: Mall) -> str:
    if mall.callback is None:
        return ""
    return str(mall.callback.url) if isinstance(mall.callback, HttpCallback) else mall.callback.routing_key


async def _read(database: Database, source: str) -> Mall:
    found = await read_mall(database, source)
    if found is None:
        raise Refusal(ErrorCode.MALL_NOT_FOUND, f"There is no mall {source}.")
    return found
