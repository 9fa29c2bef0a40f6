"""The built wheel (environment.py), run beside PostgreSQL and Temporal as deploy/compose runs it."""

import asyncio
import base64
import os
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from temporalio.client import Client

from embedded import temporal as embedded_temporal
from embedded.plan import Options
from embedded.ports import HOST, free_port
from embedded.stack import Stack
from embedded.temporal import find_temporal
from tests.certificates import OPENSSL, certified_callers_only, certify, found, settings_of_caller
from tests.deploy.database import Database, database
from tests.deploy.environment import Environment
from tests.deploy.files import compose
from tests.deploy.traces import Collector, collecting
from tests.deploy.versions import DRAINED_SOON, NAME, set_current
from tests.line import Line
from tests.stack_fixture import data_dir, environment

READY_WITHIN = 30.0
UI_URL = "http://127.0.0.1:8233"
"""of a Temporal UI that does not run"""
PAYLOAD_KEYS = {name: base64.b64encode(secrets.token_bytes(32)).decode() for name in ("one", "two")}


def payload_keys(*names: str) -> str:
    """GROUPBUY_PAYLOAD_KEYS, the one that encrypts first."""
    return ",".join(f"{name}:{PAYLOAD_KEYS[name]}" for name in names)


@dataclass
class Installation:
    """The processes of one installation, and how they are reached."""

    environment: Environment
    settings: dict[str, str]
    database: Database
    temporal: Client
    admin_key: str
    collector: Collector
    ports: dict[str, str] = field(default_factory=dict)
    """of the API, and of the metrics of each process"""
    outputs: dict[str, bytearray] = field(default_factory=dict)
    """what each process has written to stderr so far"""
    processes: dict[str, tuple[asyncio.subprocess.Process, asyncio.Task[None]]] = field(default_factory=dict)

    @property
    def api_url(self) -> str:
        return f"http://{HOST}:{self.ports['http']}"

    async def start(self, name: str, service: str, command: Sequence[str] = (), **settings: str) -> None:
        """Starts what a service of compose.yaml runs, or this command in its place, and waits until it is ready."""
        self.ports[name] = str(free_port())
        command = command or compose()["services"][service]["command"]
        settings = {**self.settings, **settings, "GROUPBUY_METRICS_PORT": self.ports[name]}
        process = await self.environment.start(command, **settings)
        output = self.outputs[name] = bytearray()
        self.processes[name] = process, asyncio.create_task(_read(process, output))
        async with asyncio.timeout(READY_WITHIN):
            if service == "worker":
                assert process.stdout
                assert await process.stdout.readline() == b"ready\n", output.decode()
            else:
                await _until_answered(f"{self.api_url}/readyz")

    async def start_worker(self, build: str, command: Sequence[str] = (), **settings: str) -> None:
        """Starts a worker of this version, which gets no tasks until that is the current one."""
        version = {"TEMPORAL_DEPLOYMENT_NAME": NAME, "TEMPORAL_WORKER_BUILD_ID": build}
        await self.start(f"worker-{build}", "worker", command, **version, **settings)

    async def stop(self, name: str) -> None:
        process, reading = self.processes.pop(name)
        assert process.returncode is None, self.outputs[name].decode()
        process.terminate()
        await asyncio.wait_for(process.wait(), 15)
        await reading
        # The API's server ends itself by the signal, after it has stopped.
        assert process.returncode in {0, -signal.SIGTERM}, self.outputs[name].decode()

    def check(self, *arguments: str, **settings: str) -> Coroutine[Any, Any, tuple[int, str, str]]:
        """Runs `groupbuy check`."""
        command = ["groupbuy", "check", "--api", self.api_url, *arguments]
        return self.environment.run(command, **{"GROUPBUY_ADMIN_KEY": self.admin_key, **settings})

    def temporal_cli(self, *arguments: str) -> Coroutine[Any, Any, bytes]:
        """Runs Temporal's own command line."""
        return self.with_temporal_cli(str(find_temporal()), *arguments)

    async def with_temporal_cli(self, *command: str, **settings: str) -> bytes:
        """Runs a command that finds Temporal's command line and its server; returns what it prints."""
        connection = {name: value for name, value in self.settings.items() if name.startswith("TEMPORAL_")}
        own = {"PATH": f"{find_temporal().parent}:{os.environ['PATH']}", "TEMPORAL_CONFIG_FILE": os.devnull}
        process = await asyncio.create_subprocess_exec(
            *command, env={**connection, **own, **settings}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        stdout, stderr = await process.communicate()
        assert process.returncode == 0, stderr.decode()
        return stdout

    async def metrics(self, name: str) -> str:
        async with aiohttp.ClientSession() as http, http.get(f"http://{HOST}:{self.ports[name]}/metrics") as response:
            assert response.status == 200
            return await response.text()


@asynccontextmanager
async def installation() -> AsyncIterator[Installation]:
    """Builds, installs and migrates; then a worker and an API run, with metrics on ports of their own and logs in JSON."""
    async with AsyncExitStack() as parts:
        services = parts.enter_context(data_dir())
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="groupbuy-wheel-")))
        parts.enter_context(environment())
        postgres = await parts.enter_async_context(database(parts.enter_context(data_dir())))
        patch = parts.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(embedded_temporal, "DYNAMIC_CONFIG", embedded_temporal.DYNAMIC_CONFIG | DRAINED_SOON)
        creating = asyncio.create_task(asyncio.to_thread(Environment.create, folder))
        metrics_of_temporal = free_port()
        options = Options(
            data_dir=services,
            services_only=True,
            database_url=postgres.superuser_url,
            temporal_metrics_port=metrics_of_temporal,
        )
        stack = await parts.enter_async_context(Stack(options))
        installed = await creating
        collector = await parts.enter_async_context(collecting())
        settings = {
            **postgres.settings,
            "GROUPBUY_DATABASE_URL": postgres.owner_url,
            **await parts.enter_async_context(way_to_temporal(folder / "tls", stack.addresses.temporal_address)),
            "GROUPBUY_LOG_FORMAT": "json",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "GROUPBUY_PAYLOAD_KEYS": payload_keys("one", "two"),
        }
        for _ in range(2):
            code, stdout, stderr = await installed.run(compose()["services"]["migrate"]["command"], **settings)
            assert (code, stdout.startswith("the database has revision ")) == (0, True), stderr
        settings["GROUPBUY_DATABASE_URL"] = postgres.run_url
        code, key, stderr = await installed.run(["groupbuy", "admin", "create-key", "--name", "ann"], **settings)
        assert code == 0, stderr
        temporal = await Client.connect(stack.addresses.temporal_address)
        running = Installation(installed, settings, postgres, temporal, key.strip(), collector)
        running.ports["temporal"] = str(metrics_of_temporal)
        try:
            await running.start_worker("a")
            await set_current(temporal, "a")
            running.ports["http"] = str(free_port())
            console = {"GROUPBUY_CONSOLE_SECRET": secrets.token_hex(16), "GROUPBUY_TEMPORAL_UI_URL": UI_URL}
            console["GROUPBUY_ORCHESTRATED_WITHIN"] = "7"  # a test follows a payment through its workflow
            await running.start("api", "api", GROUPBUY_API_PORT=running.ports["http"], **console)
            yield running
        finally:
            for name in list(running.processes):
                await running.stop(name)


@asynccontextmanager
async def way_to_temporal(folder: Path, address: str) -> AsyncIterator[dict[str, str]]:
    """The settings of processes that reach Temporal with a client certificate, where this machine can make one."""
    if OPENSSL is None:
        yield {"TEMPORAL_ADDRESS": address}
        return
    await asyncio.to_thread(_certify, folder)
    host, _, port = address.rpartition(":")
    async with Line(host, int(port), certified_callers_only(folder, "temporal", "ours")) as line:
        yield settings_of_caller(folder, f"{HOST}:{line.port}", "client")


def _certify(folder: Path) -> None:
    folder.mkdir()
    found(folder, "ours")
    for name in ("temporal", "client"):
        certify(folder, name, "ours")
    (folder / "client.key").chmod(0o644)  # the processes run as another user


async def _read(process: asyncio.subprocess.Process, output: bytearray) -> None:
    assert process.stderr
    while chunk := await process.stderr.read(65536):
        output += chunk


async def _until_answered(url: str) -> None:
    async with aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.05)
