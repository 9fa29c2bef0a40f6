"""Connections: asyncpg's protocol. SQLAlchemy describes the schema (tables.py) and migrates it (migrate.py)."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING

import asyncpg
from sqlalchemy import URL, make_url

Row = asyncpg.Record

if TYPE_CHECKING:  # generic for the type checker alone
    Connection = asyncpg.Connection[Row]
else:
    Connection = asyncpg.Connection

CHECKOUT_WITHIN = 5.0
TRUSTED_FOR = 300.0
"""seconds without use after which a connection is not taken again: something on its way may have forgotten it unheard"""

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


class Database:
    """At most `size` connections: each is opened when it is wanted and there is none, and kept for the next who wants one.

    asyncpg's own pool makes two tasks and several timers for every use of one, nearly half of what a small statement costs here
    (docs/architecture.md).
    """

    def __init__(self, database_url: str, size: int) -> None:
        self._address = _asyncpg_url(database_url)
        self._turns = asyncio.Semaphore(size)
        self._free: list[tuple[Connection, float]] = []
        """with the time of their last use, which the last one has the latest of"""
        self._is_closed = False

    async def take(self) -> Connection:
        """A connection, to be given back.

        Raises:
            TimeoutError, and others of INFRASTRUCTURE_FAILURES: none is free in time, or can be opened.
        """
        if self._turns.locked():
            async with asyncio.timeout(CHECKOUT_WITHIN):
                await self._turns.acquire()
        else:
            await self._turns.acquire()  # at once
        try:
            return self._kept() or await self._open()
        except BaseException:
            self._turns.release()
            raise

    def give_back(self, conn: Connection) -> None:
        if self._is_closed:
            conn.terminate()
        elif not conn.is_closed():
            self._free.append((conn, time.monotonic()))
        self._turns.release()

    async def close(self) -> None:
        """Ends what is free now, and the others when they are given back."""
        self._is_closed = True
        while self._free:
            conn, _ = self._free.pop()
            await conn.close(timeout=CHECKOUT_WITHIN)

    def _kept(self) -> Connection | None:
        while self._free:
            conn, used = self._free.pop()
            if time.monotonic() - used > TRUSTED_FOR:
                conn.terminate()
            if not conn.is_closed():
                return conn
        return None

    async def _open(self) -> Connection:
        return await asyncpg.connect(
            self._address,
            timeout=CHECKOUT_WITHIN,
            command_timeout=30,
            server_settings={
                "application_name": "groupbuy",
                # Every statement is prepared, and none gains by being planned anew for its values.
                "plan_cache_mode": "force_generic_plan",
                "jit": "off",
            },
        )


async def open_connection(database_url: str) -> Connection:
    """A connection of its own, beside a Database."""
    return await asyncpg.connect(
        _asyncpg_url(database_url), timeout=5, command_timeout=30, server_settings={"application_name": "groupbuy notices"}
    )


def _asyncpg_url(database_url: str) -> str:
    return re.sub(r"^postgres(ql)?(\+\w+)?:", "postgresql:", database_url)


class connection:  # noqa: N801 - read as the statement that it is: `async with connection(database) as conn`
    """A connection without a transaction: for one statement."""

    __slots__ = ("_conn", "_database")

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __aenter__(self) -> Connection:
        self._conn = await self._database.take()
        return self._conn

    async def __aexit__(self, kind: type[BaseException] | None, raised: BaseException | None, _: TracebackType | None) -> None:
        if raised is not None and (isinstance(raised, INFRASTRUCTURE_FAILURES) or not isinstance(raised, Exception)):
            # A statement may still be under way on it: the next one to get this connection must not stumble over that.
            self._conn.terminate()
        self._database.give_back(self._conn)


@asynccontextmanager
async def transaction(database: Database) -> AsyncIterator[Connection]:
    """A connection in a READ COMMITTED transaction that ends with this block: committed, or rolled back on an exception."""
    async with connection(database) as conn, conn.transaction():
        yield conn


async def fetch_one(conn: Connection, sql: str, *values: object) -> Row:
    """The row of a statement that always has one.

    Raises:
        LookupError: there is none, which is a defect of ours.
    """
    row = await conn.fetchrow(sql, *values)
    if row is None:
        raise LookupError(f"no row for {values!r}: {sql}")
    return row
