"""The schema: migrated once, twice or by many at once it is the one that db/tables.py describes."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import alembic.command
import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, make_url, pool
from sqlalchemy.ext.asyncio import create_async_engine

from db.core.connection import Database, connection, sqlalchemy_url
from db.core.migrate import migrations, upgrade
from db.core.schema import metadata
from db.settings.keys import key_hash, key_id, read_access
from domain.scopes import OF_MALLS, OF_OPERATIONS
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
    async with connection(database) as opened:
        found = {tuple(row) for row in await opened.fetch(SCHEMA, list(metadata.tables))}
    return {entry for entry in found if entry[1] != "alembic_version"}


async def test_alembic_finds_no_difference(server: Server) -> None:
    def differences(migrated: Connection) -> list[Any]:
        options = {"compare_type": True, "compare_server_default": True}
        return list(compare_metadata(MigrationContext.configure(migrated, opts=options), metadata))

    url = make_url(server.database_url).set(drivername="postgresql+asyncpg")
    async with create_async_engine(url, poolclass=pool.NullPool).connect() as migrated:
        assert await migrated.run_sync(differences) == []


async def test_the_migrations_make_what_the_tables_say(database: Database, empty_url: str) -> None:
    """Also the checks, partial indexes and storage options, which Alembic does not compare."""
    described = Database(empty_url, size=1)
    try:
        async with create_async_engine(sqlalchemy_url(empty_url), poolclass=pool.NullPool).begin() as fresh:
            await fresh.run_sync(metadata.create_all)
        assert await schema(described) == await schema(database)
    finally:
        await described.close()


async def test_processes_that_migrate_at_once_do_it_once(empty_url: str) -> None:
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", UPGRADE, empty_url, stderr=asyncio.subprocess.PIPE)
        for _ in range(3)
    ]
    ended = await asyncio.gather(*(process.communicate() for process in processes))

    assert [(process.returncode, said.decode()) for process, (_, said) in zip(processes, ended, strict=True)] == [(0, "")] * 3
    migrated = Database(empty_url, size=1)
    try:
        async with connection(migrated) as opened:
            assert await opened.fetchval("SELECT count(*) FROM alembic_version") == 1
            assert await opened.fetch("SELECT * FROM groupbuy_invariants()") == []
    finally:
        await migrated.close()


async def test_a_second_upgrade_changes_nothing(server: Server, database: Database) -> None:
    before = await schema(database)

    await asyncio.to_thread(upgrade, server.database_url)

    assert await schema(database) == before


async def test_an_address_in_any_spelling_of_postgresql_is_migrated(empty_url: str) -> None:
    url = make_url(empty_url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
    await asyncio.to_thread(upgrade, url)


# A version without refunds: it marked what it owed, and told nobody.
OWED_BEFORE = """
INSERT INTO teams (team_id, source, campaign_id, campaign_version, goods_id, original_price, discount, target_count, lock_ttl,
                   payment_grace, refund_window, status, lock_count, complete_count, opened_at, deadline)
VALUES ('t1', 's01', 1, 1, 'g1', 100, '{}', 3, 900, 30, 604800, 'forming', 2, 1, '2026-05-01Z', '2026-05-02Z');
INSERT INTO user_quotas (campaign_id, source, user_id, live) VALUES (1, 's01', 'u1', 1), (1, 's01', 'u2', 1);
INSERT INTO orders (order_id, source, out_trade_no, user_id, team_id, opened_team, campaign_id, goods_id, channel, status, live,
                    original_price, deduction, pay_price, take_limit, callback_kind, callback_address, callback_format,
                    locked_at, lock_expires_at, cancel_reason, paid_amount, paid_at, payment_reported_at, payment_outcome,
                    payment_reason)
SELECT 'o' || n, 's01', 'n' || n, 'u' || n, 't1', n = 1, 1, 'g1', 'c01', status, status IN ('locked', 'paid'), 100, 20, 80, 1,
       CASE WHEN n <> 4 THEN 'http' END, CASE WHEN n <> 4 THEN 'http://127.0.0.1:9' END, 'standard', '2026-05-01Z',
       '2026-05-01 00:15Z', CASE status WHEN 'cancelled' THEN 'buyer' END, amount, paid, paid, outcome, reason
  FROM (VALUES (1, 'paid', 80.00, '2026-05-01 00:01Z'::timestamptz, 'settled', NULL), (2, 'locked', NULL, NULL, NULL, NULL),
               (3, 'refunding', 12.34, '2026-05-01 00:02Z', 'refunding', 'amount_mismatch'),
               (4, 'refunding', 80.00, '2026-05-01 00:20Z', 'refunding', 'late_payment'),
               (5, 'cancelled', NULL, NULL, NULL, NULL)) AS given (n, status, amount, paid, outcome, reason);
INSERT INTO events (event_id, source, type, team_id, order_id, data, occurred_at)
VALUES ('e5', 's01', 'order.cancelled', 't1', 'o5', '{}', '2026-05-01Z');
"""
REFUNDS = """
SELECT order_id, attempt, kind, r.status, reason, amount::text, released_at = payment_reported_at, finished_at IS NULL
  FROM refunds r JOIN orders USING (order_id) ORDER BY order_id
"""
TOLD = "SELECT order_id, data, status, attempts FROM events LEFT JOIN deliveries USING (event_id) WHERE type = 'order.refunded'"


async def test_what_was_owed_before_there_were_refunds_has_one_that_waits_to_be_started(empty_url: str) -> None:
    await asyncio.to_thread(alembic.command.upgrade, migrations(empty_url), "0001")
    before = await asyncpg.connect(empty_url)
    await before.execute(OWED_BEFORE)
    await before.close()

    await asyncio.to_thread(upgrade, empty_url)

    migrated = Database(empty_url, size=1)
    try:
        async with connection(migrated) as opened:
            refunds = await opened.fetch(REFUNDS)
            told = await opened.fetch(f"{TOLD} ORDER BY 1")
            assert await opened.fetch("SELECT * FROM groupbuy_invariants()") == []
    finally:
        await migrated.close()
    assert [tuple(row.values()) for row in refunds] == [
        ("o3", 1, "unsettled", "requested", "amount_mismatch", "12.34", True, True),
        ("o4", 1, "unsettled", "requested", "late_payment", "80.00", True, True),
    ]
    assert [(row["order_id"], row["status"], row["attempts"]) for row in told] == [("o3", "pending", 0), ("o4", None, None)]
    assert json.loads(told[0]["data"]) == {
        "out_trade_no": "n3",
        "team_id": "t1",
        "kind": "unsettled",
        "amount": "12.34",
        "reason": "amount_mismatch",
    }


async def test_keys_of_before_may_do_everything_and_have_ids(empty_url: str) -> None:
    made = migrations(empty_url)
    await asyncio.to_thread(alembic.command.upgrade, made, "0002")
    migrated = Database(empty_url, size=1)
    try:
        async with connection(migrated) as opened:
            await opened.execute("INSERT INTO malls VALUES ('s01', 'A mall', NULL, NULL, '{}', '{}', true)")
            for key, source in (("gb_mall", "s01"), ("gb_ops", None)):
                await opened.execute("INSERT INTO api_keys VALUES ($1, 'x', $2, now())", key_hash(key), source)
        await asyncio.to_thread(upgrade, empty_url)
        for key, scopes in (("gb_mall", OF_MALLS), ("gb_ops", OF_OPERATIONS)):
            access = await read_access(migrated, key)
            assert access is not None
            assert (access.key_id, access.scopes) == (key_id(key), scopes)
    finally:
        await migrated.close()
