"""Malls and their webhook secrets."""

import base64
import secrets
from datetime import UTC, datetime

from fastapi import Depends

from api.dependencies import AdminDep, ContainerDep
from api.http.pagination import Cursor, Limit, Page, page, position
from api.http.responses import forbid_storing
from api.http.routing import api_router
from db.settings.malls import (
    add_webhook_secret,
    drop_old_webhook_secrets,
    list_malls,
    put_mall,
    read_mall,
)
from domain.errors import ErrorCode, Refusal
from domain.schemas.malls import Mall, MallFields, NewWebhookSecret
from domain.types import Source

router = api_router("/v1/ops/malls", tags=["administration"])


@router.get("")
async def get_malls(_admin: AdminDep, container: ContainerDep, limit: Limit = 20, cursor: Cursor = None) -> Page[Mall]:
    """List malls by their source."""
    after = position(cursor)
    rows = await list_malls(container.database, after.row_id if after else None, limit + 1)
    return page(rows, limit, lambda mall: (datetime.fromtimestamp(0, UTC), mall.source))


@router.put("/{source}")
async def admit_mall(source: Source, fields: MallFields, admin: AdminDep, container: ContainerDep) -> Mall:
    """Create a mall, or change one. Webhook secrets are created separately."""
    return await put_mall(container.database, source, fields, by=admin, now=datetime.now(UTC))


@router.get("/{source}")
async def get_mall(source: Source, _admin: AdminDep, container: ContainerDep) -> Mall:
    mall = await read_mall(container.database, source)
    if mall is None:
        raise Refusal(ErrorCode.MALL_NOT_FOUND, f"There is no mall {source}.")
    return mall


@router.post("/{source}/webhook_secrets", status_code=201, dependencies=[Depends(forbid_storing)])
async def rotate_webhook_secret(source: Source, admin: AdminDep, container: ContainerDep) -> NewWebhookSecret:
    """Create a webhook secret, shown only here. The previous one stays valid until it is dropped or the next one is created."""
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    mall = await add_webhook_secret(container.database, source, secret, by=admin, now=datetime.now(UTC))
    return NewWebhookSecret(webhook_secret=secret, valid=mall.webhook_secrets)


@router.delete("/{source}/webhook_secrets")
async def drop_webhook_secrets(source: Source, admin: AdminDep, container: ContainerDep) -> Mall:
    """Drop the previous webhook secret: only the newest signs from now on."""
    return await drop_old_webhook_secrets(container.database, source, by=admin, now=datetime.now(UTC))
