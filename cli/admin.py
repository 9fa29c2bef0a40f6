"""Administration without the API, which needs a key: the first one is created here, and the tables before it."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from db.core.connection import INFRASTRUCTURE_FAILURES, Database, connection
from db.core.migrate import UnknownSchema, upgrade
from db.reconciliation.comparison import skip_sequences
from db.settings.installation import read_revision, record_upgrade
from db.settings.keys import create_key, new_key
from db.teams.wakeups import leave_wakeups_everywhere
from domain.errors import Refusal
from domain.messages.acts import command_line_author
from domain.schemas.keys import NewKey
from domain.scopes import Scope
from domain.types import validation_message
from embedded.addresses import running_stack
from embedded.errors import StackError
from settings import DatabaseSettings

AUTHOR = command_line_author("the command line")
SKIPPED = 1_000_000
"""sequences, more than a mall may have received since a backup"""


def migrate_database(database_url: str) -> str:
    """Brings the database to this version's schema and returns its revision; the audit records what changed.

    Raises:
        StackError: the database cannot be used; the message says why.
    """

    async def read() -> str | None:
        async with open_database(database_url) as database, connection(database) as conn:
            return await read_revision(conn)

    async def record(before: str | None) -> None:
        async with open_database(database_url) as database:
            await record_upgrade(database, before, by=AUTHOR, now=datetime.now(UTC))

    before = asyncio.run(read())
    try:
        upgrade(database_url)  # runs an event loop of its own
    except (UnknownSchema, SQLAlchemyError, asyncpg.PostgresError) as exc:
        raise StackError(f"the database cannot be migrated: {exc}") from None
    asyncio.run(record(before))
    return asyncio.run(read()) or "none"


async def issue_key(database_url: str, name: str, source: str | None, scopes: Sequence[str]) -> str:
    """Creates a key in the database and returns it. Without scopes it has ADMIN, or TRADE if it is for a mall.

    Raises:
        StackError: it cannot be created; the message says why.
    """
    default = [Scope.ADMIN if source is None else Scope.TRADE]
    try:
        new = NewKey(name=name, source=source, scopes=[Scope(scope) for scope in scopes] or default)
    except ValidationError as exc:
        raise StackError("; ".join(validation_message(error["msg"]) for error in exc.errors())) from None
    key = new_key(for_operations=source is None)
    async with open_database(database_url) as database:
        await create_key(database, key, new, by=AUTHOR, now=datetime.now(UTC))
    return key


async def skip_all_sequences(database_url: str) -> Mapping[str, int]:
    """Has every mall's next events begin higher; returns after which sequence, by mall.

    Raises:
        StackError: the database cannot be used; the message says why.
    """
    async with open_database(database_url) as database:
        return await skip_sequences(database, SKIPPED, by=AUTHOR, now=datetime.now(UTC))


async def wake_all_teams(database_url: str) -> int:
    """Leaves a wake-up for every team whose workflow may have to do something; returns how many.

    Raises:
        StackError: the database cannot be used; the message says why.
    """
    async with open_database(database_url) as database:
        return await leave_wakeups_everywhere(database, datetime.now(UTC))


@asynccontextmanager
async def open_database(database_url: str) -> AsyncIterator[Database]:
    """Opens one connection.

    Raises:
        StackError: the database cannot be used; the message says why.
    """
    try:
        DatabaseSettings(database_url=database_url)
    except ValidationError as exc:
        wrong = [(str(error["loc"][0]).upper(), validation_message(error["msg"])) for error in exc.errors()]
        raise StackError("; ".join(f"GROUPBUY_{name}: {message}" for name, message in wrong)) from None
    try:
        database = Database(database_url, size=1)
        try:
            yield database
        finally:
            await database.close()
    except Refusal as refusal:
        raise StackError(refusal.detail) from None
    except asyncpg.UndefinedTableError:
        raise StackError("the database has no tables yet: groupbuy migrate") from None
    except (*INFRASTRUCTURE_FAILURES, asyncpg.PostgresError, ValueError) as exc:
        raise StackError(f"the database cannot be used: {exc}") from None


def database_of_stack(data_dir: Path) -> str:
    """Returns the database URL of the stack that runs on this data directory.

    Raises:
        StackError: none runs there.
    """
    addresses = running_stack(data_dir)
    if addresses is None:
        raise StackError(f"no stack runs on {data_dir}: start it, or name a database (--database-url)")
    return addresses.database_url
