"""One embedded PostgreSQL per xdist worker, and an empty database for every test."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from db.core.connection import Database, connection, transaction
from db.core.invariants import violations
from db.core.migrate import upgrade
from db.core.schema import metadata
from embedded.data_dir import DataDir
from embedded.orphans import PidFile
from embedded.ports import free_port
from embedded.postgres import EmbeddedPostgres, find_postgres
from embedded.supervisor import Supervisor
from tests.db.shop import NOW, Shop

CONNECTIONS = 20


class Server:
    """A server with one migrated database, which the tests share one after another; others can be created."""

    def __init__(self, database_url: str) -> None:
        self.database_url = database_url
        self._numbers = count(1)

    async def create_database(self) -> str:
        name = f"empty_{next(self._numbers)}"
        await self._execute(f"CREATE DATABASE {name}")
        return self._url(name)

    async def drop_database(self, url: str) -> None:
        await self._execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    async def need_not_survive_a_crash(self) -> None:
        """Nothing is waited for until it is on the disk."""
        await self._execute("ALTER SYSTEM SET fsync = off")
        await self._execute("SELECT pg_reload_conf()")

    async def _execute(self, statement: str) -> None:
        conn = await asyncpg.connect(self._url("postgres"))
        try:
            await conn.execute(statement)
        finally:
            await conn.close()

    def _url(self, database: str) -> str:
        return f"{self.database_url.rpartition('/')[0]}/{database}"


@pytest.fixture(scope="package")
async def server() -> AsyncIterator[Server]:
    path = Path(tempfile.mkdtemp(prefix="groupbuy-test-"))
    directory, binaries = DataDir(path), find_postgres()
    directory.open(binaries.version)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    supervisor = Supervisor(directory.logs, PidFile(path / "pids.json"), print, lambda: None)
    postgres = EmbeddedPostgres(directory, binaries, free_port())
    try:
        postgres.prepare_machine(print)
        initdb = postgres.initdb(environment)
        assert initdb is not None
        await supervisor.run(initdb)
        postgres.finish_initdb()
        await supervisor.start(postgres.part(environment))
        await postgres.create_database()
        await asyncio.to_thread(upgrade, postgres.url)
        server = Server(postgres.url)
        await server.need_not_survive_a_crash()
        yield server
    finally:
        await supervisor.stop("postgres")
        directory.close()
        shutil.rmtree(path)


@pytest.fixture(scope="package")
async def pool(server: Server) -> AsyncIterator[Database]:
    """All connections are opened beforehand, so that no runner of the first race waits for one."""
    pool = Database(server.database_url, size=CONNECTIONS)
    async with AsyncExitStack() as stack:
        for _ in range(CONNECTIONS):
            await stack.enter_async_context(connection(pool))
    yield pool
    await pool.close()


@pytest.fixture
async def database(pool: Database) -> Database:
    """A pool of connections to the database, which has no rows."""
    async with transaction(pool) as conn:
        filled = await conn.fetch(" UNION ALL ".join(f"(SELECT '{table}' FROM {table} LIMIT 1)" for table in metadata.tables))  # noqa: S608
        # Neither foreign keys nor the audit's refusal hold here. TRUNCATE makes new files for a table and its indexes.
        await conn.execute("SET LOCAL session_replication_role = replica")
        for (table,) in filled:
            await conn.execute(f"DELETE FROM {table}")  # noqa: S608
        await conn.execute("SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence")
    return pool


@pytest.fixture
async def shop(database: Database) -> AsyncIterator[Shop]:
    """A mall to trade in; the invariants of docs/rules.md are checked after each test."""
    shop = Shop(database)
    await shop.open()
    yield shop
    assert await violations(database, NOW) == []
