"""Who holds a key."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from db.core.connection import Database, connection, transaction
from domain.messages.callbacks import Address
from domain.schemas.malls import REQUEST_LIMIT
from domain.scopes import MALL_SCOPES, OPERATIONS_SCOPES, Scope, expand_scopes


@dataclass(frozen=True, slots=True)
class MallAccess:
    """A key of a mall, with the mall's settings."""

    key_name: str
    source: str
    callback: Address | None
    callback_hosts: frozenset[str]
    key_id: str = ""
    scopes: frozenset[Scope] = MALL_SCOPES
    """with what they include"""
    request_limit: int = REQUEST_LIMIT


@dataclass(frozen=True, slots=True)
class OpsAccess:
    """A key of operations."""

    key_name: str
    key_id: str = ""
    scopes: frozenset[Scope] = OPERATIONS_SCOPES
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
    async with connection(database) as conn:
        row = await conn.fetchrow(KEY, key_hash(key))
    if row is None:
        return None
    if row["source"] is None:
        return OpsAccess(row["name"], row["key_id"], expand_scopes(map(Scope, row["scopes"])))
    kind = row["callback_kind"]
    return MallAccess(
        key_name=row["name"],
        source=row["source"],
        callback=Address(kind=kind, address=row["callback_address"]) if kind else None,
        callback_hosts=frozenset(row["callback_hosts"]),
        key_id=row["key_id"],
        scopes=expand_scopes(map(Scope, row["scopes"])),
        request_limit=row["request_limit"],
    )


MALL = "SELECT callback_hosts, request_limit FROM malls WHERE source = $1"


async def read_mall_without_key(database: Database, source: str, named: str) -> MallAccess | None:
    """For callers that have no key, and are known by something else; `named` stands in the key's place."""
    async with connection(database) as conn:
        row = await conn.fetchrow(MALL, source)
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
    async with transaction(database) as conn:
        await conn.execute(SAVE_KEY, key_hash(key), key_id(key), name, source, scopes, now)
