"""deploy/compose/Caddyfile in a real Caddy: who reaches what. Where it would pass a request on, it says to whom instead."""

import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from embedded.ports import HOST, free_port
from tests.deploy.files import COMPOSE

CADDY = shutil.which("caddy")
pytestmark = pytest.mark.skipif(CADDY is None, reason="caddy is not installed: apt-get install caddy")

DOMAIN = "groupbuy.test"
Ask = Callable[[str, str], tuple[int, str]]
"""(host, path) -> status and body"""


def _told(value: Any) -> Any:  # noqa: ANN401 - JSON
    """The same configuration, with an answer that names the upstream in place of every reverse proxy."""
    if isinstance(value, list):
        return [_told(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("handler") == "reverse_proxy":
        dynamic = value.get("dynamic_upstreams")
        upstream = f"{dynamic['name']}:{dynamic['port']}" if dynamic else value["upstreams"][0]["dial"]
        return {"handler": "static_response", "status_code": 200, "body": upstream}
    return {key: _told(each) for key, each in value.items()}


@contextmanager
def _proxy(operators: str, folder: Path) -> Iterator[Ask]:
    assert CADDY
    environment = {
        **os.environ,
        "GROUPBUY_DOMAIN": DOMAIN,
        "OPERATORS": operators,
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
    }
    adapt = [CADDY, "adapt", "--config", str(COMPOSE / "Caddyfile"), "--adapter", "caddyfile"]
    adapted = json.loads(subprocess.run(adapt, env=environment, check=True, capture_output=True, text=True).stdout)
    port = free_port()
    [server] = adapted["apps"]["http"]["servers"].values()
    # In plain HTTP: certificates would be installed, and ports of the machine taken.
    plain = {"listen": [f"{HOST}:{port}"], "routes": _told(server["routes"]), "automatic_https": {"disable": True}}
    config = {"admin": {"disabled": True}, "apps": {"http": {"servers": {"proxy": plain}}}}
    file = folder / "caddy.json"
    file.write_text(json.dumps(config))
    process = subprocess.Popen([CADDY, "run", "--config", str(file)], env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        assert any("serving initial configuration" in line for line in process.stderr)

        def ask(host: str, path: str) -> tuple[int, str]:
            connection = http.client.HTTPConnection(HOST, port, timeout=5)
            connection.request("GET", path, headers={"Host": host})
            response = connection.getresponse()
            answer = response.status, response.getheader("Location") or response.read().decode()
            connection.close()
            return answer

        yield ask
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    with _proxy(f"10.0.0.0/8 {HOST}/32", tmp_path_factory.mktemp("inside")) as ask:
        yield ask


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    with _proxy("10.0.0.0/8", tmp_path_factory.mktemp("outside")) as ask:
        yield ask


PASSED = ("/v1/orders", "/v1/teams/1", "/problems", "/problems/team_full", "/assets/a.css", "/healthz", "/version")
OF_OPERATORS = ("/v1/ops", "/v1/ops/malls", "/docs", "/redoc", "/openapi.json", "/readyz", "/metrics")


@pytest.mark.parametrize("path", PASSED)
def test_malls_reach_what_is_theirs(path: str, inside: Ask, outside: Ask) -> None:
    assert outside(DOMAIN, path) == inside(DOMAIN, path) == (200, "api:8000")


@pytest.mark.parametrize("path", OF_OPERATORS)
def test_operators_alone_reach_the_rest(path: str, inside: Ask, outside: Ask) -> None:
    assert inside(DOMAIN, path) == (200, "api:8000")
    assert outside(DOMAIN, path) == (404, "")


@pytest.mark.parametrize(
    "path", ["/V1/ops/malls", "/v1/%6fps/malls", "/v1//ops/malls", "/v1/x/../ops/malls", "/", "/console/", "/api/v1/gbm"]
)
def test_no_other_spelling_leads_outsiders_there(path: str, outside: Ask) -> None:
    assert outside(DOMAIN, path) == (404, "")


@pytest.mark.parametrize(
    ("host", "path", "answer"),
    [
        ("console", "/", (302, "/console/")),
        ("console", "/console/", (200, "console:8000")),
        ("console", "/console/teams", (200, "console:8000")),
        ("console", "/v1/ops/malls", (404, "")),
        ("temporal", "/namespaces", (200, "temporal-ui:8080")),
        ("grafana", "/", (200, "grafana:3000")),
    ],
)
def test_operators_reach_their_pages_and_nobody_else_does(
    host: str, path: str, answer: tuple[int, str], inside: Ask, outside: Ask
) -> None:
    assert inside(f"{host}.{DOMAIN}", path) == answer
    assert outside(f"{host}.{DOMAIN}", path) == (404, "")
