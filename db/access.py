"""Who holds a key."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from db.connection import Database, connection, transaction
from domain.access import OF_MALLS, OF_OPERATIONS, REQUEST_LIMIT, Scope, granted
from domain.messages import Address


@dataclass(frozen=True, slots=True)
class MallAccess:
    """A key of a mall, with the mall's settings."""

    key_name: str
    source: str
    callback: Address | None
    callback_hosts: frozenset[str]
    key_id: str = ""
    scopes: frozenset[Scope] = OF_MALLS
    """with what they include"""
    request_limit: int = REQUEST_LIMIT


@dataclass(frozen=True, slots=True)
class OpsAccess:
    """A key of operations."""

    key_name: str
    key_id: str = ""
    scopes: frozenset[Scope] = OF_OPERATIONS
    """with what they include"""


def key_hash(key: str) -> bytes:
    """Keys are random and long, so a plain SHA-256 cannot be turned back."""
    return hashlib.sha256(key.encode()).digest()


def key_id(key: str) -> str:
    """What people call a key by; the migration 0006 gave the same to those that were there."""
    return f"key-{key_hash(key)[:8].hex()}"


KEY = """
SELECT k.key_id, k.name, k.scopes, m.source, m.callback_kind, m.callback_address, m.callback_hosts, m.request_limit
  FROM api_keys k LEFT JOIN malls m USING (source)
 WHERE k.key_hash = $1 AND k.revoked_at IS NULL
"""


async def read_access(database: Database, key: str) -> MallAccess | OpsAccess | None:
    async with connection(database) as opened:
        row = await opened.fetchrow(KEY, key_hash(key))
    if row is None:
        return None
    if row["source"] is None:
        return OpsAccess(row["name"], row["key_id"], granted(map(Scope, row["scopes"])))
    kind = row["callback_kind"]
    return MallAccess(
        key_name=row["name"],
        source=row["source"],
        callback=Address(kind=kind, address=row["callback_address"]) if kind else None,
        callback_hosts=frozenset(row["callback_hosts"]),
        key_id=row["key_id"],
        scopes=granted(map(Scope, row["scopes"])),
        request_limit=row["request_limit"],
    )


MALL = "SELECT callback_hosts, request_limit FROM malls WHERE source = $1"


async def read_mall_without_key(database: Database, source: str, named: str) -> MallAccess | None:
    """For callers that have no key, and are known by something else; `named` stands in the key's place."""
    async with connection(database) as opened:
        row = await opened.fetchrow(MALL, source)
    if row is None:
        return None
    hosts, limit = frozenset(row["callback_hosts"]), row["request_limit"]
    return MallAccess(key_name=named, source=source, callback=None, callback_hosts=hosts, request_limit=limit)


SAVE_KEY = """
INSERT INTO api_keys (key_hash, key_id, name, source, scopes, created_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (key_hash) DO NOTHING
"""


async def save_key(database: Database, key: str, *, name: str, source: str | None, now: datetime) -> None:
    """Admits a key that may do everything, for a mall or (source None) for operations; a repeat changes nothing."""
    scopes = [Scope.ADMIN if source is None else Scope.TRADE]
    async with transaction(database) as opened:
        await opened.execute(SAVE_KEY, key_hash(key), key_id(key), name, source, scopes, now)


@dataclass(frozen=True, slots=True)
class Mall:
    source: str
    name: str
    callback_url: str | None
    callback_hosts: tuple[str, ...]
    webhook_secrets: tuple[str, ...]
    local: bool
    request_limit: int = REQUEST_LIMIT


SAVE_MALL = """
INSERT INTO malls (source, name, callback_kind, callback_address, callback_hosts, webhook_secrets, local, request_limit)
VALUES ($1, $2, CASE WHEN $3::text IS NOT NULL THEN 'http' END, $3, $4, $5, $6, $7)
ON CONFLICT (source) DO UPDATE
   SET (name, callback_kind, callback_address, callback_hosts, webhook_secrets, local, request_limit)
     = (excluded.name, excluded.callback_kind, excluded.callback_address, excluded.callback_hosts,
        excluded.webhook_secrets, excluded.local, excluded.request_limit)
"""


async def save_mall(database: Database, mall: Mall) -> None:
    """Creates a mall, or changes it to these settings; as part of an installation, so it is in no audit."""
    async with transaction(database) as opened:
        await opened.execute(
            SAVE_MALL,
            mall.source,
            mall.name,
            mall.callback_url,
            list(mall.callback_hosts),
            list(mall.webhook_secrets),
            mall.local,
            mall.request_limit,
        )


MOVE_CALLBACK = (
    "UPDATE malls SET callback_address = $3 WHERE source = $1 AND callback_address LIKE $2 AND callback_kind = 'http'"
)


async def move_callback(database: Database, source: str, like: str, address: str) -> None:
    """Where the mall's callbacks go to an address like that, they go to this one from now on."""
    async with transaction(database) as opened:
        await opened.execute(MOVE_CALLBACK, source, like, address)
