"""A database that runs elsewhere: `groupbuy up` writes to it only if it made its tables, and the audit has what it writes."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

from embedded.errors import StackError
from embedded.external_database import check_database
from embedded.plan import Options
from embedded.stack import Stack
from tests.stack.running import Up

Start = Callable[..., Up]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """Of an empty database."""
    folder = tempfile.mkdtemp(prefix="groupbuy-")
    try:
        async with Stack(Options(data_dir=Path(folder), services_only=True)) as stack:
            yield stack.addresses.database_url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def test_groupbuy_up_asks_before_it_writes_to_a_database_that_it_did_not_make(
    up: Start, new_dir: Callable[[], Path], url: str
) -> None:
    environment = {"GROUPBUY_DATABASE_URL": url}
    refused = up(new_dir(), environment=environment)
    error = refused.startup_error()
    assert error.count("\n") == 1
    assert "was not made by groupbuy up" in error
    assert "confirm with --use-external-database" in error
    assert url.split("@")[0] not in error  # the password
    assert refused.parts() == {}
    conn = await asyncpg.connect(url)
    try:
        assert await conn.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0

        run = up(new_dir(), "--json", "--use-external-database", environment=environment)
        addresses = run.json()
        assert addresses["database_url"] == url
        assert "postgres" not in run.parts()
        assert run.stop()[0] == 0
        changes = await conn.fetch("SELECT subject, via, changed_by, content::text FROM changes ORDER BY change_no")
        assert {(change["via"], change["changed_by"]) for change in changes} == {("command_line", "groupbuy up")}
        subjects = [change["subject"] for change in changes]
        assert subjects[:2] == ["database/schema", "mall/s01"]
        for table, kind in (("malls", "mall"), ("api_keys", "key"), ("goods", "goods"), ("campaigns", "campaign")):
            assert await conn.fetchval(f"SELECT count(*) FROM {table}") == sum(each.startswith(kind) for each in subjects)  # noqa: S608
        text = str([change["content"] for change in changes])
        assert not [key for key in ("mall_key", "ops_key", "webhook_secret") if addresses[key] in text]

        await check_database(url, may_be_foreign=False)
        await conn.execute(
            "ALTER TABLE changes DISABLE TRIGGER USER; UPDATE changes SET changed_by = 'ann' WHERE change_no = 1"
        )
        with pytest.raises(StackError, match="--use-external-database"):
            await check_database(url, may_be_foreign=False)
    finally:
        await conn.close()
