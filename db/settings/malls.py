"""Malls: their records, callback settings and webhook secrets."""

from dataclasses import dataclass

from db.core.connection import Database, transaction
from domain.schemas.malls import REQUEST_LIMIT


@dataclass(frozen=True, slots=True)
class MallRecord:
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


async def save_mall(database: Database, mall: MallRecord) -> None:
    """Creates a mall, or changes it to these settings; as part of an installation, so it is in no audit."""
    async with transaction(database) as conn:
        await conn.execute(
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
    async with transaction(database) as conn:
        await conn.execute(MOVE_CALLBACK, source, like, address)
