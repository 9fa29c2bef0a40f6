"""Connections to PostgreSQL, by asyncpg. SQLAlchemy only describes the schema (schema.py) and migrates it (migrate.py)."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING

import asyncpg
from asyncpg.connection import LoggedQuery

Row = asyncpg.Record

if TYPE_CHECKING:  # generic for the type checker alone
    Connection = asyncpg.Connection[Row]
else:
    Connection = asyncpg.Connection

ACQUIRE_TIMEOUT = 5.0
"""seconds, also for opening a connection"""
MAX_IDLE = 300.0
"""seconds: a connection that was idle for longer is not reused, because a firewall may have dropped it without notice"""

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
    asyncpg.ReadOnlySQLTransactionError,  # after a failover, the server at the other end is a standby now
)
"""Temporary failures: the same transaction can be retried."""


class Database:
    """A pool of at most `size` connections, opened on demand.

    asyncpg's own pool creates two tasks and several timers per use, nearly half the cost of a small statement
    (docs/performance.md).
    """

    def __init__(
        self,
        database_url: str,
        size: int,
        *,
        statement_within: timedelta | None = None,
        on_statement: Callable[[LoggedQuery], None] | None = None,
    ) -> None:
        """
        Args:
            database_url: PostgreSQL.
            size: connections at most.
            statement_within: after which the server ends a statement, also one that waits for a lock.
            on_statement: is told of each statement that has ended.
        """
        self._url = asyncpg_url(database_url)
        self._settings = {} if statement_within is None else _timeouts(statement_within)
        self._on_statement = on_statement
        self._slots = asyncio.Semaphore(size)
        self.size = size
        self.in_use = 0
        """connections that were acquired and not released"""
        self.waiting = 0
        """callers that wait for one"""
        self._idle: list[tuple[Connection, float]] = []
        """each with the time of its last use; the last entry is the most recent"""
        self._is_closed = False

    async def acquire(self) -> Connection:
        """Returns a connection, which the caller must release.

        Raises:
            TimeoutError and others of INFRASTRUCTURE_FAILURES: no connection was released in time, or none can be opened.
        """
        if self._slots.locked():
            await self._wait()
        else:
            await self._slots.acquire()  # does not wait: no timer is needed
        self.in_use += 1
        try:
            return self._reuse() or await self._open()
        except BaseException:
            self._give_back()
            raise

    def release(self, conn: Connection) -> None:
        if self._is_closed:
            conn.terminate()
        elif not conn.is_closed():
            self._idle.append((conn, time.monotonic()))
        self._give_back()

    async def close(self) -> None:
        """Closes the idle connections now, and the others when they are released."""
        self._is_closed = True
        while self._idle:
            conn, _ = self._idle.pop()
            await conn.close(timeout=ACQUIRE_TIMEOUT)

    def drop_idle(self) -> None:
        """Ends the idle connections: those to a server that became a standby would answer reads with old rows."""
        while self._idle:
            conn, _ = self._idle.pop()
            conn.terminate()

    async def _wait(self) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(ACQUIRE_TIMEOUT):
                await self._slots.acquire()
        finally:
            self.waiting -= 1

    def _give_back(self) -> None:
        self.in_use -= 1
        self._slots.release()

    def _reuse(self) -> Connection | None:
        while self._idle:
            conn, used = self._idle.pop()
            if time.monotonic() - used > MAX_IDLE:
                conn.terminate()
            if not conn.is_closed():
                return conn
        return None

    async def _open(self) -> Connection:
        conn = await asyncpg.connect(
            self._url,
            timeout=ACQUIRE_TIMEOUT,
            command_timeout=30,
            server_settings={
                "application_name": "groupbuy",
                # Every statement is prepared; those that are faster with a plan for their values run in `planned_for_values`.
                "plan_cache_mode": "force_generic_plan",
                "jit": "off",
                **self._settings,
            },
        )
        if self._on_statement is not None:
            conn.add_query_logger(self._on_statement)
        return conn


def _timeouts(within: timedelta) -> dict[str, str]:
    milliseconds = f"{round(within.total_seconds() * 1000)}"
    return {"statement_timeout": milliseconds, "lock_timeout": milliseconds}


async def open_connection(database_url: str) -> Connection:
    """Opens a connection outside of a pool, for notices."""
    return await asyncpg.connect(
        asyncpg_url(database_url), timeout=5, command_timeout=30, server_settings={"application_name": "groupbuy notices"}
    )


def asyncpg_url(database_url: str) -> str:
    """Returns a URL in any of the forms that are accepted as one for asyncpg."""
    return re.sub(r"^postgres(ql)?(\+\w+)?:", "postgresql:", database_url)


class connection:  # noqa: N801 - used like a function: `async with connection(database) as conn`
    """A connection without a transaction, for single statements."""

    __slots__ = ("_conn", "_database")

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __aenter__(self) -> Connection:
        self._conn = await self._database.acquire()
        return self._conn

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, _: TracebackType | None) -> None:
        if exc is not None and (isinstance(exc, INFRASTRUCTURE_FAILURES) or not isinstance(exc, Exception)):
            # After a timeout or cancellation a statement may still run on it, which would fail the next user's statement.
            self._conn.terminate()
        if isinstance(exc, asyncpg.ReadOnlySQLTransactionError):
            self._database.drop_idle()
        self._database.release(self._conn)


@asynccontextmanager
async def transaction(database: Database) -> AsyncIterator[Connection]:
    """A connection in a READ COMMITTED transaction, committed at the end of the block or rolled back on an exception."""
    async with connection(database) as conn, conn.transaction():
        yield conn


@asynccontextmanager
async def planned_for_values(database: Database) -> AsyncIterator[Connection]:
    """A transaction whose statements are planned anew for the values of each call.

    For counts over a campaign: where one campaign has most teams, the plan for any campaign reads the whole table, for one of
    ten teams, too.
    """
    async with transaction(database) as conn:
        await conn.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        yield conn


async def fetch_one(conn: Connection, sql: str, *values: object) -> Row:
    """Returns the row of a statement that always has one.

    Raises:
        LookupError: it has none, which is a defect.
    """
    row = await conn.fetchrow(sql, *values)
    if row is None:
        raise LookupError(f"no row for {values!r}: {sql}")
    return row
