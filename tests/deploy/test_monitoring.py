"""The alerts: each is documented and tested, and promtool is content. installed/test_metrics.py: what they measure exists."""

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from api.http.problems import REFUSALS
from domain.errors import ErrorCode
from tests.deploy.files import MONITORING, ROOT
from workflows.task_queues import CALLBACKS_QUEUE, MASS_QUEUE, RECONCILIATION_QUEUE, REFUNDS_QUEUE, TRADE_QUEUE

PROMTOOL = shutil.which("promtool")
AMTOOL = shutil.which("amtool")
needs_amtool = pytest.mark.skipif(AMTOOL is None, reason="amtool is not installed: apt-get install prometheus-alertmanager")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed: apt-get install prometheus")


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "groupbuy.rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def promtool(*arguments: str) -> None:
    assert PROMTOOL
    result = subprocess.run([PROMTOOL, *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@needs_promtool
def test_each_alert_fires_when_it_should_and_never_while_all_is_well() -> None:
    promtool("test", "rules", "groupbuy.rules.test.yml")


@needs_promtool
def test_prometheus_reads_its_configuration() -> None:
    promtool("check", "config", "prometheus.yml")


@needs_amtool
def test_each_alert_goes_where_its_severity_says() -> None:
    config = "--config.file=alertmanager.yml"

    def amtool(*arguments: str) -> str:
        assert AMTOOL
        result = subprocess.run([AMTOOL, *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout.strip()

    amtool("check-config", "alertmanager.yml")
    for severity in {alert["labels"]["severity"] for alert in alerts()}:
        assert amtool("config", "routes", "test", config, f"severity={severity}") == severity


def test_what_an_alert_keeps_silent_exists_and_pages_no_less() -> None:
    severities = {alert["alert"]: alert["labels"]["severity"] for alert in alerts()}
    config = yaml.safe_load((MONITORING / "alertmanager.yml").read_text())
    for rule in config["inhibit_rules"]:
        [(source, *_), (targets, *_)] = rule["source_matchers"], rule["target_matchers"]
        names = [name for matcher in (source, targets) for name in re.findall(r"Groupbuy\w+", matcher)]
        assert severities.keys() >= set(names)
        assert severities[names[0]] == "page"


def test_every_alert_is_tested_both_ways() -> None:
    tests = yaml.safe_load((MONITORING / "groupbuy.rules.test.yml").read_text())["tests"]
    silent, firing = (
        {case["alertname"] for test in tests for case in test["alert_rule_test"] if bool(case.get("exp_alerts")) is fires}
        for fires in (False, True)
    )
    names = {alert["alert"] for alert in alerts()}
    assert names == silent
    assert names == firing


def test_a_queue_that_nobody_serves_is_missed() -> None:
    [rule] = [alert for alert in alerts() if alert["alert"] == "GroupbuyQueueUnserved"]
    queues = {TRADE_QUEUE, REFUNDS_QUEUE, MASS_QUEUE, CALLBACKS_QUEUE, RECONCILIATION_QUEUE}
    assert set(re.findall(r'task_queue="([\w-]+)"', rule["expr"])) == queues


def test_what_has_not_happened_yet_is_counted_as_0() -> None:
    counted = {sample.labels["code"] for metric in REFUSALS.collect() for sample in metric.samples}
    assert counted == set(ErrorCode)


def test_every_alert_has_a_paragraph_that_says_how_urgent_it_is() -> None:
    paragraphs = dict(re.findall(r"^### (\w+)\n\*(page|ticket)\.\*", (ROOT / "docs/alerts.md").read_text(), re.MULTILINE))
    assert paragraphs == {alert["alert"]: alert["labels"]["severity"] for alert in alerts()}


def test_panels_have_ids_queries_and_places_of_their_own() -> None:
    uids = []
    for path in sorted((MONITORING / "dashboards").glob("*.json")):
        dashboard = json.loads(path.read_text())
        uids.append(dashboard["uid"])
        places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(set(places)) == len(places), path
        assert all(panel["targets"] for panel in dashboard["panels"]), path
    assert uids == [f"groupbuy-{name}" for name in ("business", "callbacks", "database", "temporal", "trade", "workers")]
