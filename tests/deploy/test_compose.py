"""deploy/compose: valid, complete, and with as much time to stop as the processes take."""

import json
import re
import shutil
import subprocess
import tomllib
from importlib.resources import files
from typing import Any

import jsonschema_rs
import pytest
import yaml  # type: ignore[import-untyped]

from settings import Settings
from tests.deploy.files import CHART, COMPOSE, DEPLOY, ROOT, compose, seconds

SERVICES = compose()["services"]
OF_THE_SPECIFICATION = "builtin_schemas/vendor/compose-spec.json"
VARIABLE = re.compile(r"\$\{([A-Z_]+)(:[-?][^}]*)?\}")


def specification() -> Any:  # noqa: ANN401 - a JSON schema
    """The Compose Specification's own schema, as the package check-jsonschema ships it."""
    return json.loads((files("check_jsonschema") / OF_THE_SPECIFICATION).read_text())


def test_it_follows_the_compose_specification() -> None:
    validator = jsonschema_rs.validator_for(specification())
    assert [(list(error.instance_path), error.message) for error in validator.iter_errors(compose())] == []
    wrong = compose()
    wrong["services"]["api"]["enviroment"] = {}
    assert not validator.is_valid(wrong)


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
def test_docker_compose_reads_it() -> None:
    command = ["docker-compose", "--env-file", ".env.example", "config", "--quiet"]
    result = subprocess.run(command, cwd=COMPOSE, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_every_variable_is_in_the_example_or_has_a_default() -> None:
    example = {line.partition("=")[0] for line in (COMPOSE / ".env.example").read_text().splitlines() if "=" in line}
    used = dict(VARIABLE.findall((COMPOSE / "compose.yaml").read_text()))
    assert {name for name, default in used.items() if not default.startswith(":-")} <= example
    assert example <= used.keys()


def test_what_services_depend_on_and_mount_is_there() -> None:
    declared = compose()["volumes"].keys()
    for name, service in SERVICES.items():
        assert service.get("depends_on", {}).keys() <= SERVICES.keys(), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in declared if "/" not in source else (COMPOSE / source).exists(), volume


def test_every_setting_exists() -> None:
    of_processes = {"GROUPBUY_API_HOST", "GROUPBUY_API_PORT"} | {f"GROUPBUY_{name.upper()}" for name in Settings.model_fields}
    for name in ("api", "console", "worker", "migrate"):
        assert {each for each in SERVICES[name]["environment"] if each.startswith("GROUPBUY_")} <= of_processes


def test_the_processes_may_write_nothing() -> None:
    for name in ("api", "console", "worker", "migrate"):
        service = SERVICES[name]
        assert (service["read_only"], service["tmpfs"], service["cap_drop"]) == (True, ["/tmp"], ["ALL"])  # noqa: S108


def test_they_have_as_much_time_to_stop_as_in_the_chart_and_as_the_checklist_says() -> None:
    chart = yaml.safe_load((CHART / "values.yaml").read_text())
    worker, api = chart["workerTerminationGracePeriodSeconds"], chart["api"]["terminationGracePeriodSeconds"]
    graces = {name: seconds(SERVICES[name]["stop_grace_period"]) for name in ("api", "console", "worker")}
    assert graces == {"api": api, "console": api, "worker": worker}
    assert f"| {api} s for the API, {worker} s for a worker;" in (ROOT / "docs/production.md").read_text()


def test_temporal_has_shards_to_grow_with() -> None:
    assert int(SERVICES["temporal"]["environment"]["NUM_HISTORY_SHARDS"]) >= 512


def test_only_the_proxy_is_reached_from_outside() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    passed = (COMPOSE / "Caddyfile").read_text()
    assert "8091" not in passed  # the legacy format has no keys


def test_the_image_is_built_from_what_there_is() -> None:
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    assert [path for paths in copied for path in paths if not (DEPLOY.parent / path).exists()] == []
    # Docker and Podman both read this name: neither a .env nor the history belongs into an image.
    assert ".*" in (DEPLOY.parent / ".dockerignore").read_text().splitlines()
    bases = [line for line in lines if line.startswith("FROM ")]
    assert len(bases) == 2
    assert all("@${BASE_DIGEST}" in line for line in bases)
    assert not any(line.startswith("ARG BASE_DIGEST=") for line in lines)
    user = next(line for line in reversed(lines) if line.startswith("USER "))
    assert user == "USER 10001:10001"


def test_the_page_makes_the_roles_of_the_script() -> None:
    page, script = (ROOT / "docs/production.md").read_text(), (COMPOSE / "postgres" / "create-databases.sh").read_text()
    statements = re.findall(r"^ +((?:CREATE|GRANT) .*;)$", page, re.MULTILINE)
    made = re.sub(r":'\w+'", "'…'", script).splitlines()
    assert len(statements) == 5
    assert set(statements) <= set(made)


def test_compose_and_chart_run_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart, values = (yaml.safe_load((CHART / name).read_text()) for name in ("Chart.yaml", "values.yaml"))
    assert (chart["version"], chart["appVersion"], values["image"]["tag"]) == (version, version, version)
    assert f"\nGROUPBUY_VERSION={version}\n" in (COMPOSE / ".env.example").read_text()
    for page in (DEPLOY / "Containerfile", ROOT / "docs/production.md"):
        assert set(re.findall(r"\bgroupbuy[ :](\d+\.\d+\.\d+)", page.read_text())) == {version}, page
