"""Malls: callback settings, request limit and webhook secrets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network

from db.core.connection import Connection, Database, Row, connection, fetch_one, transaction
from db.settings.audit import FormAct, hold_subject, is_repeat, record_change
from domain.addresses import default_routing_key_prefixes, routing_key_refusal
from domain.errors import ErrorCode, Refusal
from domain.messages.acts import Author
from domain.schemas.callback_settings import AmqpCallback, Callback, HttpCallback
from domain.schemas.malls import REQUEST_LIMIT, Mall, MallFields

COLUMNS = """
source, name, callback_kind, callback_address, callback_hosts, routing_key_prefixes, local, request_limit, legacy_networks,
cardinality(webhook_secrets) AS webhook_secrets"""

PUT_MALL = f"""
INSERT INTO malls (source, name, callback_kind, callback_address, callback_hosts, routing_key_prefixes, local, request_limit,
                   legacy_networks, webhook_secrets)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '{{}}')
ON CONFLICT (source) DO UPDATE
   SET (name, callback_kind, callback_address, callback_hosts, routing_key_prefixes, local, request_limit, legacy_networks)
     = (excluded.name, excluded.callback_kind, excluded.callback_address, excluded.callback_hosts,
        excluded.routing_key_prefixes, excluded.local, excluded.request_limit, excluded.legacy_networks)
RETURNING {COLUMNS}
"""


async def put_mall(
    database: Database, source: str, fields: MallFields, *, by: Author, now: datetime, form: FormAct | None = None
) -> Mall:
    """Creates a mall or replaces its settings; its webhook secrets stay. The same form again changes nothing.

    Raises:
        ChangedSinceError: the mall is not as it was when the form was shown.
        Refusal: invalid_request, where its callback's routing key is none of its own.
    """
    prefixes = fields.routing_key_prefixes
    if prefixes is None:
        prefixes = default_routing_key_prefixes(source)
    match fields.callback:
        case None:
            kind = address = None
        case AmqpCallback(routing_key=routing_key):
            kind, address = "amqp", routing_key
            if refusal := routing_key_refusal(routing_key, prefixes):
                raise Refusal(ErrorCode.INVALID_REQUEST, f"callback.routing_key: {refusal}")
        case http:
            kind, address = "http", str(http.url)
    async with transaction(database) as conn:
        await hold_subject(conn, f"mall/{source}")
        if await is_repeat(conn, f"mall/{source}", form):
            return _mall(await fetch_one(conn, READ_MALL, source))
        row = await fetch_one(
            conn,
            PUT_MALL,
            source,
            fields.name,
            kind,
            address,
            fields.callback_hosts,
            prefixes,
            fields.local,
            fields.request_limit,
            fields.legacy_networks,
        )
        return await _record_mall(conn, row, by, now, form)


READ_MALL = f"SELECT {COLUMNS} FROM malls WHERE source = $1"
LIST_MALLS = f"SELECT {COLUMNS} FROM malls WHERE $1::text IS NULL OR source > $1 ORDER BY source LIMIT $2"


async def read_mall(database: Database, source: str) -> Mall | None:
    async with connection(database) as conn:
        row = await conn.fetchrow(READ_MALL, source)
    return _mall(row) if row else None


async def list_malls(database: Database, after: str | None, limit: int) -> list[Mall]:
    """Returns the malls whose source is greater than `after`, by source."""
    async with connection(database) as conn:
        return [_mall(row) for row in await conn.fetch(LIST_MALLS, after, limit)]


READ_SECRETS = "SELECT webhook_secrets FROM malls WHERE source = $1"
ADD_SECRET = f"""
UPDATE malls SET webhook_secrets = array_prepend($2, webhook_secrets[1:1]) WHERE source = $1 RETURNING {COLUMNS}
"""
DROP_OLD_SECRETS = f"UPDATE malls SET webhook_secrets = webhook_secrets[1:1] WHERE source = $1 RETURNING {COLUMNS}"


async def add_webhook_secret(
    database: Database, source: str, secret: str, *, by: Author, now: datetime, form: FormAct | None = None
) -> Mall:
    """Makes this the mall's newest secret; callbacks are signed with it and the previous newest one.

    The same form again changes nothing: a second secret would drop the one that the mall verifies with.

    Raises:
        Refusal: mall_not_found; invalid_request, where a repeat's secret is not valid any more.
        ChangedSinceError: the mall is not as it was when the form was shown.
    """
    async with transaction(database) as conn:
        await hold_subject(conn, f"mall/{source}")
        valid = await conn.fetchval(READ_SECRETS, source)
        if valid is None:
            raise _mall_not_found(source)
        if await is_repeat(conn, f"mall/{source}", form):
            if secret not in valid:
                raise Refusal(ErrorCode.INVALID_REQUEST, "This form has made a secret before, which is not valid any more.")
            return _mall(await fetch_one(conn, READ_MALL, source))
        return await _record_mall(conn, await fetch_one(conn, ADD_SECRET, source, secret), by, now, form)


async def drop_old_webhook_secrets(
    database: Database, source: str, *, by: Author, now: datetime, form: FormAct | None = None
) -> Mall:
    """Keeps only the mall's newest secret. The same form again changes nothing.

    Raises:
        Refusal: mall_not_found.
        ChangedSinceError: the mall is not as it was when the form was shown.
    """
    async with transaction(database) as conn:
        await hold_subject(conn, f"mall/{source}")
        is_done = await is_repeat(conn, f"mall/{source}", form)
        row = await conn.fetchrow(READ_MALL if is_done else DROP_OLD_SECRETS, source)
        if row is None:
            raise _mall_not_found(source)
        return _mall(row) if is_done else await _record_mall(conn, row, by, now, form)


def _mall_not_found(source: str) -> Refusal:
    return Refusal(ErrorCode.MALL_NOT_FOUND, f"There is no mall {source}.")


async def _record_mall(conn: Connection, row: Row, by: Author, now: datetime, form: FormAct | None = None) -> Mall:
    mall = _mall(row)
    await record_change(conn, f"mall/{mall.source}", mall, by=by, now=now, form=form)
    return mall


def _mall(row: Row) -> Mall:
    kind, address = row["callback_kind"], row["callback_address"]
    callback: Callback | None = None
    if kind == "http":
        callback = HttpCallback.model_validate({"kind": "http", "url": address})
    elif kind == "amqp":
        callback = AmqpCallback(kind="amqp", routing_key=address)
    # Not validated: settings that a later rule would refuse must stay readable.
    return Mall.model_construct(**{**row, "callback": callback})


# --- for installations and tests ---


@dataclass(frozen=True, slots=True)
class MallRecord:
    source: str
    name: str
    callback_url: str | None
    callback_hosts: tuple[str, ...]
    webhook_secrets: tuple[str, ...]
    local: bool
    request_limit: int = REQUEST_LIMIT
    routing_key_prefixes: tuple[str, ...] = ()
    legacy_networks: Sequence[IPv4Network | IPv6Network] = ()


SAVE_MALL = f"""
INSERT INTO malls (source, name, callback_kind, callback_address, callback_hosts, webhook_secrets, local, request_limit,
                   routing_key_prefixes, legacy_networks)
VALUES ($1, $2, CASE WHEN $3::text IS NOT NULL THEN 'http' END, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (source) DO UPDATE
   SET (name, callback_kind, callback_address, callback_hosts, webhook_secrets, local, request_limit, routing_key_prefixes,
        legacy_networks)
     = (excluded.name, excluded.callback_kind, excluded.callback_address, excluded.callback_hosts,
        excluded.webhook_secrets, excluded.local, excluded.request_limit, excluded.routing_key_prefixes,
        excluded.legacy_networks)
 WHERE malls IS DISTINCT FROM excluded
RETURNING {COLUMNS}
"""


async def save_mall(database: Database, mall: MallRecord, *, by: Author | None = None, now: datetime | None = None) -> None:
    """Creates a mall or replaces its settings and secrets; tests leave out the audit. A repeat changes nothing."""
    async with transaction(database) as conn:
        row = await conn.fetchrow(
            SAVE_MALL,
            mall.source,
            mall.name,
            mall.callback_url,
            list(mall.callback_hosts),
            list(mall.webhook_secrets),
            mall.local,
            mall.request_limit,
            list(mall.routing_key_prefixes),
            list(mall.legacy_networks),
        )
        if row is not None and by is not None and now is not None:
            await _record_mall(conn, row, by, now)


MOVE_CALLBACK = f"""
UPDATE malls SET callback_address = $3
 WHERE source = $1 AND callback_address LIKE $2 AND callback_address <> $3 AND callback_kind = 'http'
RETURNING {COLUMNS}
"""


async def move_callback(database: Database, source: str, like: str, address: str, *, by: Author, now: datetime) -> None:
    """Replaces the mall's HTTP callback URL if it matches the LIKE pattern."""
    async with transaction(database) as conn:
        row = await conn.fetchrow(MOVE_CALLBACK, source, like, address)
        if row is not None:
            await _record_mall(conn, row, by, now)
