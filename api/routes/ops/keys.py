"""API keys."""

from datetime import UTC, datetime

from fastapi import Depends

from api.dependencies import AdminDep, ContainerDep
from api.http.pagination import Cursor, Limit, Page, page, position
from api.http.responses import forbid_storing
from api.http.routing import api_router
from api.openapi.declarations import refuses
from db.settings.keys import create_key, list_keys, new_key, revoke_key
from domain.errors import ErrorCode
from domain.schemas.keys import CreatedKey, Key, NewKey
from domain.types import Identifier, Source

router = api_router("/v1/ops/keys", tags=["administration"])


@router.post("", status_code=201, dependencies=[Depends(forbid_storing)], openapi_extra=refuses(ErrorCode.MALL_NOT_FOUND))
async def post_key(new: NewKey, admin: AdminDep, container: ContainerDep) -> CreatedKey:
    """Create a key, shown only here. A mall may have several, so that one can be replaced without an interruption."""
    key = new_key(for_operations=new.source is None)
    created = await create_key(container.database, key, new, by=admin, now=datetime.now(UTC))
    return CreatedKey(**created.model_dump(), key=key)


@router.get("")
async def get_keys(
    _admin: AdminDep, container: ContainerDep, source: Source | None = None, limit: Limit = 20, cursor: Cursor = None
) -> Page[Key]:
    """List keys, newest first, revoked ones included, without their secrets."""
    rows = await list_keys(container.database, source, position(cursor), limit + 1)
    return page(rows, limit, lambda key: (key.created_at, key.key_id))


@router.delete("/{key_id}")
async def delete_key(key_id: Identifier, admin: AdminDep, container: ContainerDep) -> Key:
    """Revoke a key: immediately in this process, within a second in the others."""
    return await revoke_key(container.database, key_id, by=admin, now=datetime.now(UTC))
