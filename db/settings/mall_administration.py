"""Malls, as administrators see and change them."""

from datetime import datetime

from db.core.connection import Connection, Database, Row, connection, fetch_one, transaction
from db.settings.audit import RECORD_CHANGE
from domain.errors import ErrorCode, Refusal
from domain.schemas.callback_settings import AmqpCallback, Callback, HttpCallback
from domain.schemas.malls import Mall, MallFields

COLUMNS = """
source, name, callback_kind, callback_address, callback_hosts, local, request_limit,
cardinality(webhook_secrets) AS webhook_secrets"""

PUT_MALL = f"""
INSERT INTO malls (source, name, callback_kind, callback_address, callback_hosts, local, request_limit, webhook_secrets)
VALUES ($1, $2, $3, $4, $5, $6, $7, '{{}}')
ON CONFLICT (source) DO UPDATE SET (name, callback_kind, callback_address, callback_hosts, local, request_limit)
  = (excluded.name, excluded.callback_kind, excluded.callback_address, excluded.callback_hosts, excluded.local,
     excluded.request_limit)
RETURNING {COLUMNS}
"""


async def put_mall(database: Database, source: str, fields: MallFields, *, by: str, now: datetime) -> Mall:
    """Creates a mall, or changes it to these settings; its secrets stay."""
    match fields.callback:
        case None:
            kind = address = None
        case AmqpCallback(routing_key=routing_key):
            kind, address = "amqp", routing_key
        case http:
            kind, address = "http", str(http.url)
    async with transaction(database) as conn:
        row = await fetch_one(
            conn, PUT_MALL, source, fields.name, kind, address, fields.callback_hosts, fields.local, fields.request_limit
        )
        return await _record(conn, row, by, now)


READ_MALL = f"SELECT {COLUMNS} FROM malls WHERE source = $1"
LIST_MALLS = f"SELECT {COLUMNS} FROM malls WHERE $1::text IS NULL OR source > $1 ORDER BY source LIMIT $2"


async def read_mall(database: Database, source: str) -> Mall | None:
    async with connection(database) as conn:
        row = await conn.fetchrow(READ_MALL, source)
    return _mall(row) if row else None


async def list_malls(database: Database, after: str | None, limit: int) -> list[Mall]:
    """By their source, those after `after`."""
    async with connection(database) as conn:
        return [_mall(row) for row in await conn.fetch(LIST_MALLS, after, limit)]


ADD_SECRET = f"""
UPDATE malls SET webhook_secrets = array_prepend($2, webhook_secrets[1:1]) WHERE source = $1 RETURNING {COLUMNS}
"""
KEEP_NEWEST = f"UPDATE malls SET webhook_secrets = webhook_secrets[1:1] WHERE source = $1 RETURNING {COLUMNS}"


async def add_webhook_secret(database: Database, source: str, secret: str, *, by: str, now: datetime) -> Mall:
    """Signs with this secret from now on, and beside it with the newest of those before.

    Raises:
        Refusal: mall_not_found.
    """
    async with transaction(database) as conn:
        return await _record(conn, await conn.fetchrow(ADD_SECRET, source, secret), by, now, source)


async def drop_old_webhook_secrets(database: Database, source: str, *, by: str, now: datetime) -> Mall:
    """Signs with the newest secret alone from now on.

    Raises:
        Refusal: mall_not_found.
    """
    async with transaction(database) as conn:
        return await _record(conn, await conn.fetchrow(KEEP_NEWEST, source), by, now, source)


async def _record(conn: Connection, row: Row | None, by: str, now: datetime, source: str = "") -> Mall:
    if row is None:
        raise Refusal(ErrorCode.MALL_NOT_FOUND, f"There is no mall {source}.")
    mall = _mall(row)
    await conn.execute(RECORD_CHANGE, now, by, f"mall/{mall.source}", mall.model_dump_json())
    return mall


def _mall(row: Row) -> Mall:
    kind, address = row["callback_kind"], row["callback_address"]
    callback: Callback | None = None
    if kind == "http":
        callback = HttpCallback.model_validate({"kind": "http", "url": address})
    elif kind == "amqp":
        callback = AmqpCallback(kind="amqp", routing_key=address)
    # Not judged again: what was saved before a rule is shown as it is.
    return Mall.model_construct(**{**row, "callback": callback})
