"""Keys, as administrators see and change them."""

from collections.abc import Mapping
from datetime import datetime

from db.core.connection import Database, connection, fetch_one, transaction
from db.core.pagination import Conditions, Position
from db.settings.audit import RECORD_CHANGE
from db.settings.keys import key_hash, key_id
from domain.errors import ErrorCode, Refusal
from domain.schemas.keys import Key, NewKey

COLUMNS = "key_id, name, source, scopes, created_at, last_used_at, revoked_at"
KNOWN_MALL = "SELECT EXISTS (SELECT FROM malls WHERE source = $1)"
CREATE_KEY = f"""
INSERT INTO api_keys (key_hash, key_id, name, source, scopes, created_at) VALUES ($1, $2, $3, $4, $5, $6)
RETURNING {COLUMNS}
"""


async def create_key(database: Database, key: str, new: NewKey, *, by: str, now: datetime) -> Key:
    """Admits this key; of it only the hash is kept.

    Raises:
        Refusal: mall_not_found.
    """
    async with transaction(database) as conn:
        if new.source is not None and not await conn.fetchval(KNOWN_MALL, new.source):
            raise Refusal(ErrorCode.MALL_NOT_FOUND, f"There is no mall {new.source}.")
        scopes = sorted(set(new.scopes))
        row = await fetch_one(conn, CREATE_KEY, key_hash(key), key_id(key), new.name, new.source, scopes, now)
        created = Key(**row)
        await conn.execute(RECORD_CHANGE, now, by, f"key/{created.key_id}", created.model_dump_json())
    return created


async def list_keys(database: Database, source: str | None, after: Position | None, limit: int) -> list[Key]:
    """Newest first, also those that were revoked."""
    conditions = Conditions()
    conditions.equal("source", source)
    conditions.after("created_at, key_id", after)
    sql = f"SELECT {COLUMNS} FROM api_keys WHERE {conditions} ORDER BY created_at DESC, key_id DESC LIMIT {int(limit)}"
    async with connection(database) as conn:
        return [Key(**row) for row in await conn.fetch(sql, *conditions.values)]


REVOKE_KEY = f"UPDATE api_keys SET revoked_at = $2 WHERE key_id = $1 AND revoked_at IS NULL RETURNING {COLUMNS}"
READ_KEY = f"SELECT {COLUMNS} FROM api_keys WHERE key_id = $1"


async def revoke_key(database: Database, key: str, *, by: str, now: datetime) -> Key:
    """Revokes the key of this id, for ever; a repeat changes nothing.

    Raises:
        Refusal: key_not_found.
    """
    async with transaction(database) as conn:
        row = await conn.fetchrow(REVOKE_KEY, key, now)
        if row is not None:
            await conn.execute(RECORD_CHANGE, now, by, f"key/{key}", Key(**row).model_dump_json())
        elif (row := await conn.fetchrow(READ_KEY, key)) is None:
            raise Refusal(ErrorCode.KEY_NOT_FOUND, f"There is no key {key}.")
    return Key(**row)


NOTE_USES = """
UPDATE api_keys k SET last_used_at = u.used_at
  FROM unnest($1::text[], $2::timestamptz[]) AS u (key_id, used_at)
 WHERE k.key_id = u.key_id AND (k.last_used_at IS NULL OR k.last_used_at < u.used_at)
"""


async def note_uses(database: Database, uses: Mapping[str, datetime]) -> None:
    """When these keys were last used."""
    async with connection(database) as conn:
        await conn.execute(NOTE_USES, list(uses), list(uses.values()))
