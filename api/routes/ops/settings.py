"""What administrators set: switches, malls and keys; and who changed what."""

import base64
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError, WithJsonSchema

from api.dependencies import AdminDep, ContainerDep, OpsDep
from api.http.pagination import Cursor, Limit, Page, number_of, page, position
from api.openapi.document import refuses
from api.runtime.api_keys import new_key
from db.settings.audit import list_changes
from db.settings.keys import create_key, list_keys, revoke_key
from db.settings.malls import (
    add_webhook_secret,
    drop_old_webhook_secrets,
    list_malls,
    put_mall,
    read_mall,
)
from db.settings.switches import list_switches, set_switch
from domain.errors import ErrorCode, Refusal
from domain.schemas.audit import Change
from domain.schemas.keys import CreatedKey, Key, NewKey
from domain.schemas.malls import Mall, MallFields, NewWebhookSecret
from domain.schemas.switches import Switch
from domain.switches import MallChannel, Switches
from domain.types import Identifier, Name, Schema, Source

routes = APIRouter(prefix="/v1/ops", tags=["administration"])


# --- switches ---


OF_A_SWITCH = {
    "anyOf": [
        {"type": "boolean", "description": "`suspended`"},
        {"type": "integer", "minimum": 0, "maximum": 100, "description": "`rollout`"},
        {"type": "array", "maxItems": 1000, "items": MallChannel.model_json_schema(), "description": "`blocked`"},
    ],
    "examples": [True],
}


class SwitchValue(Schema):
    value: Annotated[Any, WithJsonSchema(OF_A_SWITCH)]


@routes.get("/switches")
async def get_switches(_ops: OpsDep, container: ContainerDep) -> Page[Switch]:
    """Every switch, also those that nobody has set."""
    return Page(data=await list_switches(container.database), next_cursor=None)


@routes.get("/switches/{name}")
async def get_switch(name: Identifier, _ops: OpsDep, container: ContainerDep) -> Switch:
    _require_switch(name)
    return next(switch for switch in await list_switches(container.database) if switch.name == name)


@routes.put("/switches/{name}")
async def put_switch(name: Identifier, asked: SwitchValue, ops: OpsDep, container: ContainerDep) -> Switch:
    """Set a switch. It holds in every process within a second."""
    _require_switch(name)
    try:
        switches = Switches.model_validate({name: asked.value})
    except ValidationError as mistake:
        errors = [{**error, "loc": ("body", "value", *error["loc"][1:])} for error in mistake.errors()]
        raise RequestValidationError(errors) from mistake
    return await set_switch(container.database, name, switches, by=ops.key_name, now=datetime.now(UTC))


def _require_switch(name: str) -> None:
    if name not in Switches.model_fields:
        raise Refusal(ErrorCode.SWITCH_NOT_FOUND, f"There is no switch {name}; there are {', '.join(Switches.model_fields)}.")


# --- malls ---


@routes.get("/malls")
async def get_malls(_admin: AdminDep, container: ContainerDep, limit: Limit = 20, cursor: Cursor = None) -> Page[Mall]:
    """Malls by their source."""
    before = position(cursor)
    rows = await list_malls(container.database, before.row_id if before else None, limit + 1)
    return page(rows, limit, lambda mall: (datetime.fromtimestamp(0, UTC), mall.source))


@routes.put("/malls/{source}")
async def admit_mall(source: Source, fields: MallFields, admin: AdminDep, container: ContainerDep) -> Mall:
    """Admit a mall, or change it. Its webhook secrets are made apart."""
    return await put_mall(container.database, source, fields, by=admin.key_name, now=datetime.now(UTC))


@routes.get("/malls/{source}")
async def get_mall(source: Source, _admin: AdminDep, container: ContainerDep) -> Mall:
    mall = await read_mall(container.database, source)
    if mall is None:
        raise Refusal(ErrorCode.MALL_NOT_FOUND, f"There is no mall {source}.")
    return mall


@routes.post("/malls/{source}/webhook_secrets", status_code=201)
async def rotate_webhook_secret(source: Source, admin: AdminDep, container: ContainerDep) -> NewWebhookSecret:
    """A new secret, shown once. The one before stays valid beside it, until it is dropped or the next one comes."""
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    mall = await add_webhook_secret(container.database, source, secret, by=admin.key_name, now=datetime.now(UTC))
    return NewWebhookSecret(webhook_secret=secret, valid=mall.webhook_secrets)


@routes.delete("/malls/{source}/webhook_secrets")
async def drop_webhook_secrets(source: Source, admin: AdminDep, container: ContainerDep) -> Mall:
    """Drop the old secret: the newest alone signs from now on."""
    return await drop_old_webhook_secrets(container.database, source, by=admin.key_name, now=datetime.now(UTC))


# --- keys ---


@routes.post("/keys", status_code=201, openapi_extra=refuses(ErrorCode.MALL_NOT_FOUND))
async def post_key(new: NewKey, admin: AdminDep, container: ContainerDep) -> CreatedKey:
    """A new key, shown once. A mall may have several: so one is replaced without a gap."""
    key = new_key(new.source)
    created = await create_key(container.database, key, new, by=admin.key_name, now=datetime.now(UTC))
    return CreatedKey(**created.model_dump(), key=key)


@routes.get("/keys")
async def get_keys(
    _admin: AdminDep, container: ContainerDep, source: Source | None = None, limit: Limit = 20, cursor: Cursor = None
) -> Page[Key]:
    """Keys, newest first, also those that were revoked; never the key itself."""
    rows = await list_keys(container.database, source, position(cursor), limit + 1)
    return page(rows, limit, lambda key: (key.created_at, key.key_id))


@routes.delete("/keys/{key_id}")
async def delete_key(key_id: Identifier, admin: AdminDep, container: ContainerDep) -> Key:
    """Revoke a key: at once here, within a second in every process."""
    return await revoke_key(container.database, key_id, by=admin.key_name, now=datetime.now(UTC))


# --- who changed what ---

Subject = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:@/-]+$")]


@routes.get("/audit")
async def get_audit(
    _ops: OpsDep,
    container: ContainerDep,
    subject: Annotated[Subject | None, Query()] = None,
    changed_by: Annotated[Name | None, Query()] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[Change]:
    """Every change, the latest first. `subject=campaign/100123` is one campaign's, `subject=campaign` every campaign's."""
    before = position(cursor)
    rows = await list_changes(container.database, subject, changed_by, number_of(before) if before else None, limit + 1)
    return page(rows, limit, lambda change: (change.changed_at, str(change.change_no)))
