"""PostgreSQL and Temporal as parts of a stack that runs in this process, as other tests start it."""

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest, RemoveSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeIndexedValueType, SearchAttributeKey

from embedded.addresses import running_stack
from embedded.errors import StackError
from embedded.plan import Options
from embedded.stack import Stack
from embedded.temporal import RETENTION, SEARCH_ATTRIBUTES
from tests.stack.running import eventually
from workflows import search_attributes as search_attributes_of_workflows


async def query(database_url: str, sql: str) -> object:
    conn = await asyncpg.connect(database_url)
    try:
        return await conn.fetchval(sql)
    finally:
        await conn.close()


async def search_attributes(client: Client) -> set[str]:
    known = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace="default"))
    return set(known.custom_attributes)


async def test_services_are_configured_and_keep_their_data_after_a_crash_and_a_restart(data_dir: Path) -> None:
    lines: list[str] = []
    async with Stack(Options(data_dir=data_dir, services_only=True), lines.append) as stack:
        url = stack.addresses.database_url
        client = await Client.connect(stack.addresses.temporal_address)
        assert await search_attributes(client) == set(SEARCH_ATTRIBUTES)
        namespace = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
        assert namespace.config.workflow_execution_retention_ttl.ToTimedelta() == RETENTION
        await client.start_workflow("Sleeper", id="sleeper", task_queue="nobody")
        await query(url, "CREATE TABLE kept AS SELECT 42 AS answer")
        assert await query(url, "SHOW synchronous_commit") == "on"
        assert running_stack(data_dir) == stack.addresses

        stack.kill("postgres")
        stack.kill("temporal")
        await eventually(lambda: sum("is up again" in line for line in lines) == 2)
        assert await query(url, "SELECT answer FROM kept") == 42
        await client.get_workflow_handle("sleeper").describe()

        await stack.stop_part("postgres")
        with pytest.raises(OSError, match="Connect call failed"):
            await query(url, "SELECT 1")
        await stack.start_part("postgres")
        assert await query(url, "SELECT answer FROM kept") == 42
        processes = [psutil.Process(stack.part(name).pid) for name in ("postgres", "temporal")]

    assert not any(process.is_running() for process in processes)
    assert running_stack(data_dir) is None
    password = await asyncio.to_thread(_password_of, data_dir)
    assert urlsplit(url).password == password
    # As after a restart of a container, where the pid belongs to another process.
    (data_dir / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{data_dir}\n")
    async with Stack(Options(data_dir=data_dir, services_only=True)) as stack:
        assert stack.addresses.database_url == url
        assert await query(url, "SELECT answer FROM kept") == 42
        client = await Client.connect(stack.addresses.temporal_address)
        await client.get_workflow_handle("sleeper").describe()
        await _admits_nobody_without_its_password(url)
    (data_dir / "postgres.password").unlink()
    with pytest.raises(StackError, match=r"postgres\.password is missing"):
        await Stack(Options(data_dir=data_dir, services_only=True)).__aenter__()


async def _admits_nobody_without_its_password(database_url: str) -> None:
    url = urlsplit(database_url)
    for password in (None, "", "postgres"):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(host=url.hostname, port=url.port, user=url.username, password=password)
    methods = await query(database_url, "SELECT array_agg(DISTINCT auth_method) FROM pg_hba_file_rules")
    assert methods == ["scram-sha-256"]


def _password_of(data_dir: Path) -> str:
    """It is in one file, which nobody else may read, and in no log."""
    file = data_dir / "postgres.password"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [*data_dir.glob("*password*")] == [file]
    password = file.read_text()
    assert not any(password in log.read_text() for log in data_dir.glob("logs/*"))
    return password


async def test_services_that_run_elsewhere_are_used_and_not_started(new_dir: Callable[[], Path]) -> None:
    lines: list[str] = []
    async with Stack(Options(data_dir=new_dir(), services_only=True)) as elsewhere:
        client = await Client.connect(elsewhere.addresses.temporal_address)
        await client.operator_service.remove_search_attributes(
            RemoveSearchAttributesRequest(namespace="default", search_attributes=["Mall"])
        )
        options = Options(
            data_dir=new_dir(),
            services_only=True,
            database_url=elsewhere.addresses.database_url,
            temporal_address=elsewhere.addresses.temporal_address,
            temporal_ui_url="https://temporal.example",
        )
        async with Stack(options, lines.append) as stack:
            assert stack.addresses.database_url == elsewhere.addresses.database_url
            assert stack.addresses.temporal_address == elsewhere.addresses.temporal_address
            assert stack.addresses.temporal_ui_url == "https://temporal.example"
            assert "Temporal: registered the search attributes Mall" in lines
            with pytest.raises(KeyError):
                stack.part("postgres")
        # The servers elsewhere still run.
        assert await query(elsewhere.addresses.database_url, "SELECT 1") == 1
        assert await search_attributes(client) == set(SEARCH_ATTRIBUTES)


def test_every_search_attribute_of_the_workflows_is_registered() -> None:
    keys = [key for key in vars(search_attributes_of_workflows).values() if isinstance(key, SearchAttributeKey)]
    assert {key.name: SearchAttributeIndexedValueType(key.indexed_value_type).name.title() for key in keys} == (
        SEARCH_ATTRIBUTES
    )
