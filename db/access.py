"""Who holds a key."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from db.connection import Database, connection, transaction
from domain.messages import Address


@dataclass(frozen=True, slots=True)
class MallAccess:
    """A key of a mall, with the mall's settings."""

    key_name: str
    source: str
    callback: Address | None
    callback_hosts: frozenset[str]


@dataclass(frozen=True, slots=True)
class OpsAccess:
    """A key of operations."""

    key_name: str


def key_hash(key: str) -> bytes:
    """Keys are random and long, so a plain SHA-256 cannot be turned back."""
    return hashlib.sha256(key.encode()).digest()


KEY = """
SELECT k.name, m.source, m.callback_kind, m.callback_address, m.callback_hosts
  FROM api_keys k LEFT JOIN malls m USING (source)
 WHERE k.key_hash = $1 AND k.revoked_at IS NULL
"""


async def read_access(database: Database, key: str) -> MallAccess | OpsAccess | None:
    async with connection(database) as opened:
        row = await opened.fetchrow(KEY, key_hash(key))
    if row is None:
        return None
    if row["source"] is None:
        return OpsAccess(row["name"])
    kind = row["callback_kind"]
    return MallAccess(
        key_name=row["name"],
        source=row["source"],
        callback=Address(kind=kind, address=row["callback_address"]) if kind else None,
        callback_hosts=frozenset(row["callback_hosts"]),
    )


MALL = "SELECT callback_hosts FROM malls WHERE source = $1"


async def read_mall_without_key(database: Database, source: str, named: str) -> MallAccess | None:
    """For callers that have no key, and are known by something else; `named` stands in the key's place."""
    async with connection(database) as opened:
        row = await opened.fetchrow(MALL, source)
    if row is None:
        return None
    return MallAccess(key_name=named, source=source, callback=None, callback_hosts=frozenset(row["callback_hosts"]))


SAVE_KEY = """
INSERT INTO api_keys (key_hash, name, source, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (key_hash) DO NOTHING
"""


async def save_key(database: Database, key: str, *, name: str, source: str | None, now: datetime) -> None:
    """Admits a key, for a mall or (source None) for operations; a repeat changes nothing."""
    async with transaction(database) as opened:
        await opened.execute(SAVE_KEY, key_hash(key), name, source, now)


@dataclass(frozen=True, slots=True)
class Mall:
    source: str
    name: str
    callback_url: str | None
    callback_hosts: tuple[str, ...]
    webhook_secrets: tuple[str, ...]
    local: bool


SAVE_MALL = """
INSERT INTO malls (source, name, callback_kind, callback_address, callback_hosts, webhook_secrets, local)
VALUES ($1, $2, CASE WHEN $3::text IS NOT NULL THEN 'http' END, $3, $4, $5, $6)
ON CONFLICT (source) DO UPDATE
   SET (name, callback_kind, callback_address, callback_hosts, webhook_secrets, local)
     = (excluded.name, excluded.callback_kind, excluded.callback_address, excluded.callback_hosts,
        excluded.webhook_secrets, excluded.local)
"""


async def save_mall(database: Database, mall: Mall) -> None:
    """Creates a mall, or changes it to these settings."""
    async with transaction(database) as opened:
        await opened.execute(
            SAVE_MALL,
            mall.source,
            mall.name,
            mall.callback_url,
            list(mall.callback_hosts),
            list(mall.webhook_secrets),
            mall.local,
        )
