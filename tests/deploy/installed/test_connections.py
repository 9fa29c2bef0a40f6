"""How the processes reach the database, and the script that prepares Temporal for them."""

from pathlib import Path

import asyncpg
import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest

from cli.admin import open_database
from db.core.connection import connection
from embedded.errors import StackError
from embedded.ports import HOST
from embedded.temporal import RETENTION, SEARCH_ATTRIBUTES
from tests.deploy.database import needs_tls
from tests.deploy.files import COMPOSE
from tests.deploy.installation import Installation

CONNECTIONS = """
SELECT usename, application_name, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE usename ^@ 'groupbuy'
"""


@needs_tls
@pytest.mark.usefixtures("checked")
async def test_every_process_reaches_the_database_over_tls(installed: Installation) -> None:
    conn = await asyncpg.connect(installed.database.superuser_url)
    try:
        rows = await conn.fetch(CONNECTIONS)
    finally:
        await conn.close()
    assert {row["usename"] for row in rows} == {"groupbuy_run"}
    assert {row["application_name"] for row in rows} == {"groupbuy", "groupbuy notices"}
    assert all(row["ssl"] for row in rows)
    code, stdout, stderr = await installed.environment.run(["groupbuy", "reconcile"], **installed.settings)
    assert (code, "0 workflow(s) without rows" in stdout) == (0, True), stdout + stderr


@needs_tls
@pytest.mark.parametrize(
    ("authority", "host", "refused"),
    [
        ("theirs", HOST, "certificate verify failed"),
        ("ours", "localhost", "certificate is not valid for 'localhost'"),
        ("ours", "10.0.0.7", "GROUPBUY_DATABASE_PLAINTEXT: the database is not on this machine"),
    ],
)
async def test_another_server_is_refused(
    installed: Installation, monkeypatch: pytest.MonkeyPatch, authority: str, host: str, refused: str
) -> None:
    ours = Path(installed.settings["PGSSLROOTCERT"])
    monkeypatch.setenv("PGSSLROOTCERT", str(ours.with_stem(authority)))
    url = installed.database.run_url.replace(f"@{HOST}", f"@{host}")
    if host == "10.0.0.7":
        url = url.removesuffix("?sslmode=verify-full")
    with pytest.raises(StackError, match=refused):
        async with open_database(url) as database, connection(database):
            pass


async def test_the_script_of_compose_makes_a_namespace(installed: Installation) -> None:
    script = ("/bin/sh", str(COMPOSE / "temporal" / "namespace.sh"))
    for _ in range(2):  # it is safe to repeat
        await installed.with_temporal_cli(*script, TEMPORAL_NAMESPACE="shop")
    temporal = installed.temporal
    described = await temporal.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="shop"))
    assert described.config.workflow_execution_retention_ttl.ToTimedelta() == RETENTION
    known = await temporal.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace="shop"))
    made = {name: IndexedValueType.Name(kind) for name, kind in known.custom_attributes.items()}
    assert made == {name: f"INDEXED_VALUE_TYPE_{kind.upper()}" for name, kind in SEARCH_ATTRIBUTES.items()}
