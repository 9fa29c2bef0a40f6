"""API keys: the access that a request's key grants, and the keys as administrators see and change them."""

import hashlib
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from db.core.connection import Database, connection, fetch_one, transaction
from db.core.pagination import Conditions, Position
from db.settings.audit import hold_repeats, record_change
from domain.api_keys import ALPHABET, SECRET_LENGTH, make_key
from domain.errors import ErrorCode, Refusal
from domain.messages.acts import Author
from domain.messages.callbacks import Address
from domain.schemas.keys import Key, NewKey
from domain.schemas.malls import REQUEST_LIMIT
from domain.scopes import MALL_SCOPES, OPERATIONS_SCOPES, Scope, expand_scopes


def new_key(*, for_operations: bool) -> str:
    """Returns a random key for operations or for a mall."""
    return make_key("".join(secrets.choice(ALPHABET) for _ in range(SECRET_LENGTH)), for_operations=for_operations)


def key_hash(key: str) -> bytes:
    """A plain SHA-256: keys are long and random, so the hash cannot be reversed."""
    return hashlib.sha256(key.encode()).digest()


def key_id(key: str) -> str:
    """The public id of a key, under which it is listed and revoked."""
    return f"key-{key_hash(key)[:8].hex()}"


# --- the access of a request ---


@dataclass(frozen=True, slots=True)
class MallAccess:
    """The access of a mall's key, with the mall's settings."""

    key_name: str
    source: str
    callback: Address | None
    callback_hosts: frozenset[str]
    routing_key_prefixes: tuple[str, ...]
    key_id: str = ""
    scopes: frozenset[Scope] = MALL_SCOPES
    """including implied scopes"""
    request_limit: int = REQUEST_LIMIT
    """requests per second"""


@dataclass(frozen=True, slots=True)
class OpsAccess:
    """The access of an operator's key."""

    key_name: str
    key_id: str = ""
    scopes: frozenset[Scope] = OPERATIONS_SCOPES
    """including implied scopes"""


KeyAccess = MallAccess | OpsAccess

ACCESS = """
SELECT k.key_hash, k.key_id, k.name, k.scopes,
       m.source, m.callback_kind, m.callback_address, m.callback_hosts, m.routing_key_prefixes, m.request_limit
  FROM api_keys k LEFT JOIN malls m USING (source)
"""
READ_ACCESSES = f"{ACCESS} WHERE k.key_hash = ANY ($1::bytea[]) AND k.revoked_at IS NULL"
READ_ACCESS_BY_ID = f"{ACCESS} WHERE k.key_id = $1 AND k.revoked_at IS NULL"


async def read_access(database: Database, key: str) -> KeyAccess | None:
    """Returns what the key grants; None for an unknown or revoked key."""
    return (await read_accesses(database, [key])).get(key)


async def read_accesses(database: Database, keys: Collection[str]) -> dict[str, KeyAccess]:
    """Returns what each key grants, without unknown and revoked keys."""
    by_hash = {key_hash(key): key for key in keys}
    async with connection(database) as conn:
        rows = await conn.fetch(READ_ACCESSES, list(by_hash))
    return {by_hash[row["key_hash"]]: _access(row) for row in rows}


async def read_access_by_id(database: Database, key_id: str) -> KeyAccess | None:
    """Returns what the key with this id grants; None for an unknown or revoked key."""
    async with connection(database) as conn:
        row = await conn.fetchrow(READ_ACCESS_BY_ID, key_id)
    return _access(row) if row else None


def _access(row: asyncpg.Record) -> KeyAccess:
    if row["source"] is None:
        return OpsAccess(row["name"], row["key_id"], expand_scopes(map(Scope, row["scopes"])))
    kind = row["callback_kind"]
    return MallAccess(
        key_name=row["name"],
        source=row["source"],
        callback=Address(kind=kind, address=row["callback_address"]) if kind else None,
        callback_hosts=frozenset(row["callback_hosts"]),
        routing_key_prefixes=tuple(row["routing_key_prefixes"]),
        key_id=row["key_id"],
        scopes=expand_scopes(map(Scope, row["scopes"])),
        request_limit=row["request_limit"],
    )


NOTE_USES = """
UPDATE api_keys k SET last_used_at = u.used_at
  FROM unnest($1::text[], $2::timestamptz[]) AS u (key_id, used_at)
 WHERE k.key_id = u.key_id AND (k.last_used_at IS NULL OR k.last_used_at < u.used_at)
"""


async def note_uses(database: Database, uses: Mapping[str, datetime]) -> None:
    """Stores when keys were last used, by key id."""
    async with connection(database) as conn:
        await conn.execute(NOTE_USES, list(uses), list(uses.values()))


# --- administration ---

COLUMNS = "key_id, name, source, scopes, created_at, last_used_at, revoked_at"
MALL_EXISTS = "SELECT EXISTS (SELECT FROM malls WHERE source = $1)"
INSERT_KEY = "INSERT INTO api_keys (key_hash, key_id, name, source, scopes, created_at) VALUES ($1, $2, $3, $4, $5, $6)"
CREATE_KEY = f"{INSERT_KEY} RETURNING {COLUMNS}"
READ_KEY = f"SELECT {COLUMNS} FROM api_keys WHERE key_id = $1"


async def create_key(database: Database, key: str, new: NewKey, *, by: Author, now: datetime) -> Key:
    """Stores the hash of a new key; a repeat, which has the same key, returns it as it is.

    Raises:
        Refusal: mall_not_found; invalid_request where another key, revoked or not, has this name.
    """
    async with transaction(database) as conn:
        await hold_repeats(conn, key_id(key))
        if (earlier := await conn.fetchrow(READ_KEY, key_id(key))) is not None:
            return Key(**earlier)
        if new.source is not None and not await conn.fetchval(MALL_EXISTS, new.source):
            raise Refusal(ErrorCode.MALL_NOT_FOUND, f"There is no mall {new.source}.")
        scopes = sorted(set(new.scopes))
        try:
            row = await fetch_one(conn, CREATE_KEY, key_hash(key), key_id(key), new.name, new.source, scopes, now)
        except asyncpg.UniqueViolationError:
            taken = f"name: another key is or was called {new.name}; the audit tells keys apart by their names."
            raise Refusal(ErrorCode.INVALID_REQUEST, taken) from None
        created = Key(**row)
        await record_change(conn, f"key/{created.key_id}", created, by=by, now=now)
    return created


INSTALL_KEY = f"""
INSERT INTO api_keys (key_hash, key_id, name, source, scopes, created_at)
SELECT $1, $2, CASE WHEN EXISTS (SELECT FROM api_keys WHERE lower(name) = lower($3)) THEN $3 || ' ' || $2 ELSE $3 END,
       $4, $5, $6
ON CONFLICT (key_hash) DO NOTHING RETURNING {COLUMNS}
"""


async def save_key(
    database: Database, key: str, *, name: str, source: str | None, by: Author | None = None, now: datetime
) -> None:
    """Stores a key with every scope, for a mall or (source None) for operators.

    For installations, and for tests, which leave out `by` and the audit. A repeat changes nothing. A name that another key has
    gets the key's id beside it.
    """
    scopes = [Scope.ADMIN if source is None else Scope.TRADE]
    async with transaction(database) as conn:
        row = await conn.fetchrow(INSTALL_KEY, key_hash(key), key_id(key), name, source, scopes, now)
        if row is not None and by is not None:
            await record_change(conn, f"key/{row['key_id']}", Key(**row), by=by, now=now)


async def list_keys(database: Database, source: str | None, after: Position | None, limit: int) -> list[Key]:
    """Returns keys, newest first, including revoked ones."""
    conditions = Conditions()
    conditions.equal("source", source)
    conditions.after("created_at, key_id", after)
    sql = f"SELECT {COLUMNS} FROM api_keys WHERE {conditions} ORDER BY created_at DESC, key_id DESC LIMIT {int(limit)}"
    async with connection(database) as conn:
        return [Key(**row) for row in await conn.fetch(sql, *conditions.values)]


REVOKE_KEY = f"UPDATE api_keys SET revoked_at = $2 WHERE key_id = $1 AND revoked_at IS NULL RETURNING {COLUMNS}"


async def revoke_key(database: Database, key: str, *, by: Author, now: datetime) -> Key:
    """Revokes the key with this id permanently; a repeat changes nothing.

    Raises:
        Refusal: key_not_found.
    """
    async with transaction(database) as conn:
        row = await conn.fetchrow(REVOKE_KEY, key, now)
        if row is not None:
            await record_change(conn, f"key/{key}", Key(**row), by=by, now=now)
        elif (row := await conn.fetchrow(READ_KEY, key)) is None:
            raise Refusal(ErrorCode.KEY_NOT_FOUND, f"There is no key {key}.")
    return Key(**row)
