"""Migrations: the migrated schema equals db/core/schema.py, also after repeated and concurrent upgrades."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, make_url

from db.core.connection import Database, connection
from db.core.migrate import UnknownSchema, engine_of, upgrade
from db.core.schema import metadata
from embedded.ports import HOST
from tests.db.conftest import Server

UPGRADE = "import sys; from db.core.migrate import upgrade; upgrade(sys.argv[1])"

SCHEMA = """
SELECT 'constraint' AS kind, conrelid::regclass::text AS "of", conname::text AS name, pg_get_constraintdef(oid) AS definition
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT 'index', tablename::text, indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT 'column', table_name::text, column_name::text,
       concat_ws(' ', data_type, numeric_precision, numeric_scale, is_nullable, column_default, is_identity)
  FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL
SELECT 'options', relname::text, '', array_to_string(reloptions, ',')
  FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
UNION ALL
SELECT 'comment', objoid::regclass::text, objsubid::text, description FROM pg_description WHERE classoid = 'pg_class'::regclass
   AND objoid::regclass::text = ANY($1::text[])
"""


@pytest.fixture
async def empty_url(server: Server) -> AsyncIterator[str]:
    url = await server.create_database()
    yield url
    await server.drop_database(url)


async def schema(database: Database) -> set[tuple[Any, ...]]:
    async with connection(database) as conn:
        found = {tuple(row) for row in await conn.fetch(SCHEMA, list(metadata.tables))}
    return {entry for entry in found if entry[1] != "alembic_version"}


async def test_alembic_finds_no_difference_to_the_models(server: Server) -> None:
    def differences(migrated: Connection) -> list[Any]:
        options = {"compare_type": True, "compare_server_default": True}
        return list(compare_metadata(MigrationContext.configure(migrated, opts=options), metadata))

    async with engine_of(server.database_url).connect() as migrated:
        assert await migrated.run_sync(differences) == []


async def test_migrated_schema_equals_the_models(database: Database, empty_url: str) -> None:
    """Includes checks, partial indexes, storage options and comments, which Alembic does not compare."""
    described = Database(empty_url, size=1)
    try:
        async with engine_of(empty_url).begin() as fresh:
            await fresh.run_sync(metadata.create_all)
        assert await schema(described) == await schema(database)
    finally:
        await described.close()


async def test_concurrent_upgrades_of_an_empty_database_migrate_it_once(empty_url: str) -> None:
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", UPGRADE, empty_url, stderr=asyncio.subprocess.PIPE)
        for _ in range(3)
    ]
    ended = await asyncio.gather(*(process.communicate() for process in processes))

    assert [(process.returncode, said.decode()) for process, (_, said) in zip(processes, ended, strict=True)] == [(0, "")] * 3
    migrated = Database(empty_url, size=1)
    try:
        async with connection(migrated) as conn:
            assert await conn.fetchval("SELECT count(*) FROM alembic_version") == 1
            assert await conn.fetch("SELECT * FROM groupbuy_invariants()") == []
    finally:
        await migrated.close()


async def test_a_second_upgrade_changes_nothing(server: Server, database: Database) -> None:
    before = await schema(database)

    await asyncio.to_thread(upgrade, server.database_url)

    assert await schema(database) == before


async def test_an_sqlalchemy_url_is_accepted(empty_url: str) -> None:
    url = make_url(empty_url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
    await asyncio.to_thread(upgrade, url)


async def test_several_hosts_are_accepted(empty_url: str) -> None:
    address = re.search(r"@([^/]+)/", empty_url)
    assert address
    several = empty_url.replace(address[1], f"{HOST}:1,{address[1]}") + "?target_session_attrs=read-write"
    await asyncio.to_thread(upgrade, several)


async def test_a_database_of_an_unknown_revision_is_refused(empty_url: str) -> None:
    await asyncio.to_thread(upgrade, empty_url)
    migrated = Database(empty_url, size=1)
    try:
        async with connection(migrated) as conn:
            await conn.execute("UPDATE alembic_version SET version_num = '9999'")
        before = await schema(migrated)

        with pytest.raises(UnknownSchema, match=r"another version of groupbuy .*'9999'"):
            await asyncio.to_thread(upgrade, empty_url)

        assert await schema(migrated) == before
    finally:
        await migrated.close()
