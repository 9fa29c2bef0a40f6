"""The metrics of an installation under load are those that dashboards and alerts ask for."""

import json
import re

import aiohttp
import pytest

from embedded.ports import HOST
from tests.deploy.files import MONITORING
from tests.deploy.installation import Installation
from tests.deploy.installed.conftest import TEAMS, Checked
from tests.deploy.prometheus import needs_prometheus, scraping
from workflows.task_queues import CALLBACKS_QUEUE, MASS_QUEUE, RECONCILIATION_QUEUE, REFUNDS_QUEUE, TRADE_QUEUE

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
    assert values['groupbuy_payments_total{answer="booked",outcome="refunding",reason="amount_mismatch"}'] >= 1
    assert values['groupbuy_refusals_total{code="team_full"}'] >= 1
    assert values["groupbuy_invariant_violations"] == 0
    assert all(values[f'groupbuy_read_timestamp_seconds{{reading="{name}"}}'] > 0 for name in ("backlog", "open_work", "trade"))
