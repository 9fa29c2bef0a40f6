"""Connections: asyncpg's pool and protocol. SQLAlchemy describes the schema (tables.py) and migrates it (migrate.py)."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import asyncpg.pool
from sqlalchemy import URL, make_url

Row = asyncpg.Record

if TYPE_CHECKING:  # generic for the type checker alone
    Database = asyncpg.Pool[Row]
    Connection = asyncpg.pool.PoolConnectionProxy[Row]
else:
    Database = asyncpg.Pool
    Connection = asyncpg.pool.PoolConnectionProxy

CHECKOUT_WITHIN = 5.0

INFRASTRUCTURE_FAILURES = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # the server shuts down, starts up, or ended this statement
    asyncpg.InsufficientResourcesError,  # too many connections, disk or memory full
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
)
"""What is nobody's fault and passes by: whoever sees one of these tries the same transaction again."""


def sqlalchemy_url(database_url: str) -> URL:
    """The address as SQLAlchemy and asyncpg take it; `sslmode`, libpq's word, is `ssl` there."""
    url = make_url(database_url).set(drivername="postgresql+asyncpg")
    modes = url.normalized_query.get("sslmode")
    return url.difference_update_query(["sslmode"]).update_query_dict({"ssl": modes[-1]}) if modes else url


async def open_database(database_url: str, *, pool_size: int) -> Database:
    """A pool of at most `pool_size` connections; none is opened before it is needed."""

    async def keep_as_it_is(_: object) -> None:
        """A transaction leaves nothing behind, so the usual reset would be a round trip for nothing."""

    return await asyncpg.create_pool(
        _asyncpg_url(database_url),
        min_size=0,
        max_size=pool_size,
        reset=keep_as_it_is,
        timeout=5,
        command_timeout=30,
        server_settings={
            "application_name": "groupbuy",
            # Every statement is prepared, and none gains by being planned anew for its values.
            "plan_cache_mode": "force_generic_plan",
            "jit": "off",
        },
    )


async def open_connection(database_url: str) -> "asyncpg.Connection[Row]":
    """A connection of its own, beside the pool."""
    return await asyncpg.connect(
        _asyncpg_url(database_url), timeout=5, command_timeout=30, server_settings={"application_name": "groupbuy notices"}
    )


def _asyncpg_url(database_url: str) -> str:
    return re.sub(r"^postgres(ql)?(\+\w+)?:", "postgresql:", database_url)


@asynccontextmanager
async def connection(database: Database) -> AsyncIterator[Connection]:
    """A connection without a transaction: for one statement."""
    async with database.acquire(timeout=CHECKOUT_WITHIN) as opened:
        try:
            yield opened
        except (*INFRASTRUCTURE_FAILURES, asyncio.CancelledError):
            # A statement may still be under way on it: the next one to get this connection must not stumble over that.
            opened.terminate()
            raise


@asynccontextmanager
async def transaction(database: Database) -> AsyncIterator[Connection]:
    """A connection in a READ COMMITTED transaction that ends with this block: committed, or rolled back on an exception."""
    async with connection(database) as opened, opened.transaction():
        yield opened


async def fetch_one(opened: Connection, sql: str, *values: object) -> Row:
    """The row of a statement that always has one.

    Raises:
        LookupError: there is none, which is a defect of ours.
    """
    row = await opened.fetchrow(sql, *values)
    if row is None:
        raise LookupError(f"no row for {values!r}: {sql}")
    return row
