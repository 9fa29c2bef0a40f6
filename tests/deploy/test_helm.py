"""The chart, linted and rendered by Helm, and validated against what Kubernetes accepts."""

import json
import re
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

import tracing
from api.__main__ import FINISH_WITHIN
from api.container import FINAL_RECORD_TIMEOUT
from settings import Settings
from tests.deploy.files import CHART, ROOT, documents
from workers.queues import CONCURRENT_CALLBACKS, GRACE, TEAMS_IN_MEMORY
from workers.versions import BUILD, NAME
from workflows.task_queues import CALLBACKS_QUEUE, MASS_QUEUE, RECONCILIATION_QUEUE, REFUNDS_QUEUE, TRADE_QUEUE

pytestmark = pytest.mark.skipif(find_spec("helm_python") is None, reason="there is no Helm for this machine on PyPI")

KUBERNETES = ("1.31.0", kubernetes_validate.latest_version())
"""the oldest and the newest that the manifests are validated for"""
OF_OPERATORS = {"ScaledObject", "TriggerAuthentication", "PodMonitor", "PrometheusRule"}
"""kinds that Kubernetes itself does not know"""
RESERVE = 2.0
"""seconds beside those that a process gives its work at most, to close connections"""

# In a process of its own: Helm brings the runtime of Go, which wants the signals of the process that it is in.
HELM = """
import json, sys
import helm_python as helm
_, chart, settings = sys.argv
values = helm.parse_set_string(settings) if settings else {}
with helm.Chart.load(chart) as loaded:
    rendered = loaded.render(values, name="shop", namespace="default")
print(json.dumps({"rendered": rendered, "lint": helm.lint(chart, values, strict=True)}))
"""

EVERYTHING = (
    "keda.enabled=true",
    "podMonitor.enabled=true",
    "prometheusRule.enabled=true",
    "api.ingress.enabled=true",
    "console.enabled=true",
    "secrets.amqp=groupbuy-amqp",
    "secrets.temporal=groupbuy-temporal",
    "secrets.payloads=groupbuy-payloads",
    "secrets.temporalTls=groupbuy-temporal-tls",
    "databaseCa=groupbuy-database-ca",
    "temporal.ownAuthority=true",
    "temporal.serverName=temporal.internal",
    "temporal.uiUrl=https://temporal.example",
    "temporal.consoleUrl=https://console.example/console/",
    "settings.GROUPBUY_CALLBACK_TIMEOUT=10",
)


VERSION = "workerVersion.deploymentName=groupbuy", "workerVersion.buildId=0.2.0"
KEPT = "workerVersion.earlier[0]"


@cache
def helm(*settings: str) -> dict[str, Any]:
    """Returns what Helm renders with these settings, and what its lint finds."""
    command = [sys.executable, "-c", HELM, str(CHART), ",".join(settings)]
    answer: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return answer


def rendered(*settings: str) -> dict[tuple[str, str], dict[str, Any]]:
    templates = helm(*settings)["rendered"]
    found = [each for name, text in templates.items() if not name.endswith(".txt") for each in documents(text)]
    assert len({(each["kind"], each["metadata"]["name"]) for each in found}) == len(found)
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def pods(objects: dict[tuple[str, str], dict[str, Any]]) -> list[dict[str, Any]]:
    templates = [each["spec"]["template"] for (kind, _), each in objects.items() if kind in {"Deployment", "Job"}]
    return templates + [each for (kind, _), each in objects.items() if kind == "Pod"]


def test_the_chart_has_no_fault_that_lint_finds() -> None:
    lint = helm(*EVERYTHING)["lint"]
    assert lint["errors"] == []
    assert [each["error"] for each in lint["messages"]] == ["icon is recommended"]


def test_kubernetes_accepts_every_object() -> None:
    for (kind, _), each in rendered(*EVERYTHING).items():
        if kind not in OF_OPERATORS:
            for version in KUBERNETES:
                kubernetes_validate.validate(each, version, strict=True)


def test_kubernetes_does_not_accept_a_misspelt_field() -> None:
    deployment = json.loads(json.dumps(rendered()[("Deployment", "shop-api")]))
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 15
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES[-1], strict=True)


@pytest.mark.parametrize("settings", [(), EVERYTHING], ids=["default", "everything"])
def test_every_pod_is_without_rights(settings: tuple[str, ...]) -> None:
    for pod in pods(rendered(*settings)):
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        assert not pod["spec"]["automountServiceAccountToken"]
        [container] = pod["spec"]["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_every_task_queue_has_a_deployment_and_trade_is_never_scaled_to_nothing() -> None:
    objects = rendered(*EVERYTHING)
    queues = [
        variable["value"]
        for pod in pods(objects)
        for variable in pod["spec"]["containers"][0]["env"]
        if variable["name"] == "GROUPBUY_TASK_QUEUES"
    ]
    assert sorted(queues) == sorted([TRADE_QUEUE, REFUNDS_QUEUE, MASS_QUEUE, CALLBACKS_QUEUE, RECONCILIATION_QUEUE])
    scaled = [each["spec"] for (kind, _), each in objects.items() if kind == "ScaledObject"]
    assert sorted(trigger["metadata"]["taskQueue"] for each in scaled for trigger in each["triggers"]) == sorted(queues)
    assert all(each["minReplicaCount"] >= 1 for each in scaled)
    assert ("Deployment", "shop-worker-trade") in objects


def test_every_setting_exists_and_secrets_are_named_only() -> None:
    known = {f"GROUPBUY_{name.upper()}" for name in Settings.model_fields} | {"GROUPBUY_ADMIN_KEY"}  # of groupbuy check
    for pod in pods(rendered(*EVERYTHING)):
        for variable in pod["spec"]["containers"][0]["env"]:
            name = variable["name"]
            assert name in known or re.fullmatch(r"TEMPORAL_[A-Z_]+|PGSSLROOTCERT|MIGRATE_URL", name), name
            if name.endswith(("_URL", "_KEY", "_KEYS", "_SECRET")) and not name.endswith(("UI_URL", "CONSOLE_URL")):
                assert "secretKeyRef" in variable["valueFrom"], name


def test_pods_have_as_much_time_to_stop_as_the_processes_take() -> None:
    takes = {
        "api": FINISH_WITHIN + FINAL_RECORD_TIMEOUT + tracing.FLUSH_WITHIN + RESERVE,
        "worker": GRACE.total_seconds() + tracing.FLUSH_WITHIN + RESERVE,
    }
    for (kind, name), each in rendered(*EVERYTHING).items():
        if kind != "Deployment":
            continue
        spec = each["spec"]["template"]["spec"]
        [container] = spec["containers"]
        before = int(container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["", "0"])[1])
        assert spec["terminationGracePeriodSeconds"] >= before + takes[container["name"]], name


def test_pods_have_the_memory_that_sizing_asks_for() -> None:
    sizing = (ROOT / "docs/production.md").read_text()
    idle, each = map(int, re.findall(r"worker of all queues \| (\d+) MiB idle, and (\d+) KiB for each team", sizing)[0])
    [attempt] = map(int, re.findall(r"callbacks in it \| (\d+) KiB for each attempt", sizing))
    objects = rendered()
    memory = {
        name: container["resources"]["requests"]["memory"]
        for (kind, name), each in objects.items()
        if kind == "Deployment"
        for container in each["spec"]["template"]["spec"]["containers"]
    }
    for name, wanted in (("trade", each * TEAMS_IN_MEMORY), ("callbacks", attempt * CONCURRENT_CALLBACKS)):
        assert idle + wanted / 1024 < int(memory.pop(f"shop-worker-{name}").removesuffix("Mi"))
    assert all(idle < int(requested.removesuffix("Mi")) for requested in memory.values())


def test_no_key_stands_in_a_command_of_the_notes() -> None:
    [notes] = [text for name, text in helm()["rendered"].items() if name.endswith("NOTES.txt")]
    assert "gb_ops_" not in notes
    assert "create secret generic groupbuy-check --from-file=key=/dev/stdin" in notes


def test_keda_asks_temporal_as_the_workers_do() -> None:
    objects = rendered(*EVERYTHING)
    triggers = [
        trigger for (kind, _), each in objects.items() if kind == "ScaledObject" for trigger in each["spec"]["triggers"]
    ]
    assert {trigger["authenticationRef"]["name"] for trigger in triggers} == {"shop-temporal"}
    assert {trigger["metadata"]["queueTypes"] for trigger in triggers} == {"workflow,activity"}
    assert {trigger["metadata"]["tlsServerName"] for trigger in triggers} == {"temporal.internal"}
    targets = objects[("TriggerAuthentication", "shop-temporal")]["spec"]["secretTargetRef"]
    assert [(each["parameter"], each["name"], each["key"]) for each in targets] == [
        ("apiKey", "groupbuy-temporal", "apiKey"),
        ("cert", "groupbuy-temporal-tls", "tls.crt"),
        ("key", "groupbuy-temporal-tls", "tls.key"),
        ("ca", "groupbuy-temporal-tls", "ca.crt"),
    ]
    without = rendered("keda.enabled=true")
    assert not any(kind == "TriggerAuthentication" for kind, _ in without)
    assert "authenticationRef" not in without[("ScaledObject", "shop-worker-trade")]["spec"]["triggers"][0]


def versions(objects: dict[tuple[str, str], dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Returns what each deployment is told of its version."""
    return {
        name: {
            variable["name"]: variable["value"]
            for variable in each["spec"]["template"]["spec"]["containers"][0]["env"]
            if variable["name"] in {NAME, BUILD}
        }
        for (kind, name), each in objects.items()
        if kind == "Deployment"
    }


def test_the_workers_alone_have_a_version() -> None:
    objects = rendered(*EVERYTHING, *VERSION)
    found = versions(objects)
    assert found == {name: {NAME: "groupbuy", BUILD: "0.2.0"} if "-worker-" in name else {} for name in found}
    asked = objects[("ScaledObject", "shop-worker-trade-0-2-0")]["spec"]["triggers"][0]["metadata"]
    assert (asked["workerDeploymentName"], asked["workerDeploymentBuildId"]) == ("groupbuy", "0.2.0")
    with pytest.raises(subprocess.CalledProcessError):
        rendered("workerVersion.buildId=0.2.0")


def test_an_upgrade_keeps_the_workers_of_the_version_before_and_changes_nothing_in_them() -> None:
    earlier = "workerVersion.deploymentName=groupbuy", "workerVersion.buildId=0.1.0", "image.tag=0.1.0", *EVERYTHING
    before = rendered(*earlier)
    after = rendered(*EVERYTHING, *VERSION, "image.tag=0.2.0", f"{KEPT}.buildId=0.1.0", f"{KEPT}.tag=0.1.0")
    kept = {key for key in before if key[1].endswith("-0-1-0")}
    assert {kind for kind, _ in kept} == {"Deployment", "ScaledObject", "PodDisruptionBudget"}
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    assert {key for key in after if key not in before} == {(kind, name.replace("-0-1-0", "-0-2-0")) for kind, name in kept}


def test_workers_without_a_version_are_kept_beside_the_first_that_has_one() -> None:
    after = rendered(*VERSION, f"{KEPT}.buildId=", f"{KEPT}.digest=sha256:123")
    assert versions(after)["shop-worker-trade"] == {}
    [container] = after[("Deployment", "shop-worker-trade")]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "groupbuy@sha256:123"


def test_every_deployment_has_a_disruption_budget() -> None:
    objects = rendered(*EVERYTHING)
    budgets, deployments = ({name for kind, name in objects if kind == each} for each in ("PodDisruptionBudget", "Deployment"))
    assert budgets == deployments


def test_the_console_is_off_where_trade_is_done() -> None:
    objects = rendered(*EVERYTHING)
    switched_on = [
        name
        for (kind, name), each in objects.items()
        if kind == "Deployment"
        for variable in each["spec"]["template"]["spec"]["containers"][0]["env"]
        if variable["name"] == "GROUPBUY_CONSOLE_SECRET"
    ]
    assert switched_on == ["shop-console"]
    assert ("Deployment", "shop-console") not in rendered()


def test_only_the_ingress_and_monitoring_reach_the_pods() -> None:
    objects = rendered(*EVERYTHING)
    policies = {name: each["spec"] for (kind, name), each in objects.items() if kind == "NetworkPolicy"}
    assert {name: [port["port"] for rule in spec["ingress"] for port in rule["ports"]] for name, spec in policies.items()} == {
        "shop": ["metrics"],
        "shop-api": ["http"],
    }
    paths = [path["path"] for rule in objects[("Ingress", "shop-api")]["spec"]["rules"] for path in rule["http"]["paths"]]
    assert not [path for path in paths if path.startswith("/v1/ops") or path in {"/", "/v1", "/v1/", "/metrics"}]


def test_the_rules_are_those_of_the_monitoring_folder() -> None:
    rule = rendered(*EVERYTHING)[("PrometheusRule", "shop")]
    assert rule["spec"]["groups"][0]["name"] == "groupbuy-processes"
