"""Connections: SQLAlchemy's pool, asyncpg's protocol."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

Row = asyncpg.Record

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Row]  # generic for the type checker alone
else:
    Connection = asyncpg.Connection

INFRASTRUCTURE_FAILURES = (
    OSError,
    TimeoutError,
    PoolTimeoutError,
    DBAPIError,
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


def create_engine(database_url: str, *, pool_size: int) -> AsyncEngine:
    """A pool of at most `pool_size` connections; none is opened before it is needed."""
    engine = create_async_engine(
        sqlalchemy_url(database_url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=5,
        json_deserializer=str,  # JSON stays text: pydantic reads it faster and stricter
        connect_args={
            "timeout": 5,
            "command_timeout": 30,
            "server_settings": {
                "application_name": "groupbuy",
                # Every statement is prepared, and none gains by being planned anew for its values.
                "plan_cache_mode": "force_generic_plan",
                "jit": "off",
            },
        },
    )

    @event.listens_for(engine.sync_engine, "checkout")
    def refuse_closed(dbapi_connection: Any, _record: object, _proxy: object) -> None:  # noqa: ANN401
        # The transactions below speak asyncpg, so SQLAlchemy does not see a connection break. asyncpg does, at once.
        if dbapi_connection.driver_connection.is_closed():
            raise DisconnectionError

    return engine


@asynccontextmanager
async def connection(engine: AsyncEngine) -> AsyncIterator[Connection]:
    """A connection without a transaction: for one statement."""
    async with engine.connect() as pooled:
        raw = await pooled.get_raw_connection()
        opened: Connection | None = raw.driver_connection
        assert opened is not None  # noqa: S101 - it is None only after the connection was given back
        try:
            yield opened
        except (*INFRASTRUCTURE_FAILURES, asyncio.CancelledError):
            # A statement may still be under way on it: the next one to get this connection must not stumble over that.
            opened.terminate()
            raise


async def fetch_one(opened: Connection, sql: str, *values: object) -> Row:
    """The row of a statement that always has one.

    Raises:
        LookupError: there is none, which is a defect of ours.
    """
    row = await opened.fetchrow(sql, *values)
    if row is None:
        raise LookupError(f"no row for {values!r}: {sql}")
    return row


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[Connection]:
    """A connection in a READ COMMITTED transaction that ends with this block: committed, or rolled back on an exception."""
    async with connection(engine) as opened, opened.transaction():
        yield opened
