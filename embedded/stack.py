"""What the parts are, what each is told, and the order in which they start and stop."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from embedded.data_dir import DataDir, write_private
from embedded.errors import StackError
from embedded.http import answers
from embedded.keys import DemoKeys, demo_keys
from embedded.leftovers import PidFile, stop_leftovers
from embedded.ports import HOST, Ports
from embedded.postgres import (
    Binaries,
    EmbeddedPostgres,
    find_postgres,
    forget_leftover_server,
    leftover_server,
    reach_database,
    remembered_port,
    without_password,
)
from embedded.supervisor import Keeper, Part, Program, Say, Supervisor
from embedded.temporal import EmbeddedTemporal, find_temporal, reach_temporal

LEFTOVERS_WITHIN = 10.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """A port of 0 is a free one. With its address given, a server is somebody else's: it is used and not started."""

    data_dir: Path = Path(".groupbuy")
    api_port: int = 0
    temporal_port: int = 0
    ui_port: int = 0
    mall_port: int = 0
    workers: int = 1
    database_url: str | None = None
    temporal_address: str | None = None
    temporal_ui_url: str | None = None
    amqp_url: str | None = None  # RabbitMQ; without one, callbacks over it are dead
    services_only: bool = False  # PostgreSQL and Temporal alone, without tables: for tests that bring the rest


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """The contract of `groupbuy up --json`: these names, in one line."""

    api_url: str
    temporal_address: str
    temporal_ui_url: str | None
    mall_url: str
    database_url: str
    mall_key: str
    ops_key: str
    webhook_secret: str
    data_dir: str
    worker_pids: list[int]

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def running_stack(data_dir: Path) -> Addresses | None:
    """Where the stack on this data directory is, if one runs and is ready."""
    directory = DataDir(data_dir)
    # The file alone may be of a stack that was killed.
    if not directory.in_use():
        return None
    try:
        return Addresses(**json.loads((directory.path / "stack.json").read_text()))
    except FileNotFoundError:
        return None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that is known before anything runs."""

    postgres: EmbeddedPostgres | None
    temporal: EmbeddedTemporal | None
    database_url: str
    temporal_address: str
    temporal_ui_url: str | None
    amqp_url: str | None
    api_port: int
    mall_port: int
    keys: DemoKeys

    @property
    def api_url(self) -> str:
        return f"http://{HOST}:{self.api_port}"

    @property
    def mall_url(self) -> str:
        return f"http://{HOST}:{self.mall_port}"

    def inherited(self) -> dict[str, str]:
        """Our environment, without what would lead libpq or the Temporal SDK past our own server to another."""
        strangers = ("PG",) * bool(self.postgres) + ("TEMPORAL_",) * bool(self.temporal)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(strangers)}
        # The SDK also reads a file in the user's home: the profile there may be of a cloud, with its TLS and keys.
        return kept | {"TEMPORAL_CONFIG_FILE": os.devnull} if self.temporal else kept

    def application(self) -> dict[str, str]:
        """The environment of worker and API."""
        ui = {"GROUPBUY_TEMPORAL_UI_URL": self.temporal_ui_url} if self.temporal_ui_url else {}
        broker = {"GROUPBUY_AMQP_URL": self.amqp_url} if self.amqp_url else {}
        addresses = {"GROUPBUY_DATABASE_URL": self.database_url, "TEMPORAL_ADDRESS": self.temporal_address}
        return {**self.inherited(), **addresses, **ui, **broker}


class Stack:
    """`async with Stack(Options(data_dir=…)) as stack:` is ready inside; outside, nothing of it is left running.

    Its parts are called postgres, temporal, worker-1 …, mall and api.
    """

    _plan: Plan

    def __init__(self, options: Options, say: Say = lambda _: None) -> None:
        self._options = options
        self._say = say
        self._data_dir = DataDir(options.data_dir)
        self._pids = PidFile(self._data_dir.path / "pids.json")
        self._published = self._data_dir.path / "stack.json"
        self._supervisor = Supervisor(self._data_dir.logs, self._pids, say, self._publish)
        self._workers = [f"worker-{number}" for number in range(1, options.workers + 1)]
        self._cleanup = AsyncExitStack()
        self._ready = False

    @property
    def addresses(self) -> Addresses:
        plan = self._plan
        return Addresses(
            api_url=plan.api_url,
            temporal_address=plan.temporal_address,
            temporal_ui_url=plan.temporal_ui_url,
            mall_url=plan.mall_url,
            database_url=plan.database_url,
            mall_key=plan.keys.mall_key,
            ops_key=plan.keys.ops_key,
            webhook_secret=plan.keys.webhook_secret,
            data_dir=str(self._data_dir.path),
            worker_pids=[pid for name in self._workers if name in self._supervisor and (pid := self.part(name).pid)],
        )

    def part(self, name: str) -> Keeper:
        return self._supervisor[name]

    async def stop_part(self, name: str) -> None:
        """It stays down until `start_part`."""
        await self._supervisor.stop(name)

    async def start_part(self, name: str) -> None:
        await self._supervisor[name].start()

    def kill(self, name: str) -> None:
        """As a crash does it, so it is restarted."""
        pid = self._supervisor[name].pid
        if pid is None:
            raise StackError(f"{name} does not run")
        os.kill(pid, signal.SIGKILL)

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        stopping = asyncio.create_task(self._cleanup.aclose())
        try:
            await asyncio.shield(stopping)
        except asyncio.CancelledError:
            # We are told to stop while a failed start is being cleaned up.
            await stopping
            raise

    async def _start(self) -> None:
        # Whatever can be refused is refused before anything runs.
        options, directory = self._options, self._data_dir
        binaries = None if options.database_url else find_postgres()
        binary = None if options.temporal_address else find_temporal()
        directory.open(binaries.version if binaries else None)
        self._cleanup.callback(directory.close)
        await self._stop_leftovers()
        self._plan = self._make_plan(binaries, binary)

        self._cleanup.push_async_callback(self._stop_parts)
        await _together(self._bring_up_database(), self._bring_up_temporal())
        if not options.services_only:
            await _together(*(self._bring_up(what, part) for what, part in self._applications()))
        self._ready = True
        self._publish()

    async def _stop_leftovers(self) -> None:
        self._published.unlink(missing_ok=True)
        found = [*self._pids.leftovers(), *leftover_server(self._data_dir.postgres)]
        if leftovers := {leftover.process.pid: leftover for leftover in found}:
            self._say(f"an earlier run was killed; stopping what it left behind: pid {', '.join(map(str, leftovers))}")
            await stop_leftovers(list(leftovers.values()), LEFTOVERS_WITHIN)
        forget_leftover_server(self._data_dir.postgres)

    def _make_plan(self, binaries: Binaries | None, binary: Path | None) -> Plan:
        options, directory, ports = self._options, self._data_dir, Ports()
        api_port = ports.give("the API", options.api_port, "--api-port")
        mall_port = ports.give("the demo mall", options.mall_port, "--mall-port")
        temporal = postgres = None
        if binary:
            temporal_port = ports.give("Temporal", options.temporal_port, "--temporal-port")
            ui_port = ports.give("Temporal's UI", options.ui_port, "--ui-port")
            temporal = EmbeddedTemporal(directory, binary, temporal_port, ui_port)
        if binaries:
            postgres = EmbeddedPostgres(directory, binaries, remembered_port(directory, ports))
        return Plan(
            postgres=postgres,
            temporal=temporal,
            database_url=postgres.url if postgres else options.database_url or "",
            temporal_address=temporal.address if temporal else options.temporal_address or "",
            temporal_ui_url=temporal.ui_url if temporal else options.temporal_ui_url,
            amqp_url=options.amqp_url,
            api_port=api_port,
            mall_port=mall_port,
            keys=demo_keys(directory.path / "keys.json"),
        )

    async def _bring_up_database(self) -> None:
        began = time.monotonic()
        url = self._plan.database_url
        if postgres := self._plan.postgres:
            postgres.prepare_machine(self._say)
            if initdb := postgres.initdb(self._plan.inherited()):
                await self._supervisor.run(initdb)
                postgres.adopt()
            await self._supervisor.start(postgres.part(self._plan.inherited()))
            version = await postgres.create_database()
        else:
            version = await reach_database(url)
        self._say_ready(f"PostgreSQL {version} at {without_password(url)}", began)
        if not self._options.services_only:
            began = time.monotonic()
            keys = str(self._data_dir.path / "keys.json")
            environment = self._plan.application()
            await self._supervisor.run(
                self._python("prepare", "embedded.prepare", self._plan.mall_url, keys, environment=environment)
            )
            self._say_ready("migrations and demo data", began)

    async def _bring_up_temporal(self) -> None:
        began = time.monotonic()
        if temporal := self._plan.temporal:
            await self._supervisor.start(temporal.part(self._plan.inherited()))
            await temporal.keep_histories()
        else:
            await reach_temporal(self._plan.temporal_address, self._say)
        ui = f", UI at {self._plan.temporal_ui_url}" if self._plan.temporal_ui_url else ""
        self._say_ready(f"Temporal at {self._plan.temporal_address}{ui}", began)

    def _applications(self) -> Iterator[tuple[str, Part]]:
        plan = self._plan
        ours = plan.application()
        for name in self._workers:
            yield name, Part(self._python(name, "worker", environment=ours, stop_within=6), _has_said_ready)

        environment = {**ours, "GROUPBUY_API_PORT": str(plan.api_port)}
        api = self._python("api", "api", environment=environment, stop_within=3)
        yield f"API at {plan.api_url}", Part(api, lambda _: answers(f"{plan.api_url}/readyz"))

        environment = {
            **plan.inherited(),
            "MALL_PORT": str(plan.mall_port),
            "MALL_API_URL": plan.api_url,
            "MALL_KEY": plan.keys.mall_key,
            "MALL_WEBHOOK_SECRET": plan.keys.webhook_secret,
            "MALL_STATE": str(self._data_dir.path / "mall.db"),
            **({"MALL_AMQP_URL": plan.amqp_url} if plan.amqp_url else {}),
        }
        mall = self._python("mall", "mall", environment=environment, stop_within=6)
        yield f"demo mall at {plan.mall_url}", Part(mall, lambda _: answers(f"{plan.mall_url}/healthz"))

    async def _bring_up(self, what: str, part: Part) -> None:
        began = time.monotonic()
        await self._supervisor.start(part)
        self._say_ready(what, began)

    def _python(
        self, name: str, module: str, *arguments: str, environment: Mapping[str, str], stop_within: float = 2
    ) -> Program:
        return Program(
            name=name,
            # -P: what happens to be in the working directory must not pass for one of our packages.
            command=[sys.executable, "-P", "-u", "-m", module, *arguments],
            environment=environment,
            cwd=self._data_dir.path,
            stop_within=stop_within,
        )

    async def _stop_parts(self) -> None:
        """Who asks before who answers; each has its time, 14 s together."""
        self._ready = False
        self._published.unlink(missing_ok=True)
        for names in (["api"], ["mall", *self._workers], ["temporal"], ["postgres"]):
            await self._supervisor.stop(*names)

    def _publish(self) -> None:
        """For those who look for a running stack; again whenever a part has been restarted."""
        if self._ready:
            write_private(self._published, self.addresses.to_json())

    def _say_ready(self, what: str, began: float) -> None:
        self._say(f"{what}: ready, {time.monotonic() - began:.1f} s")


async def _has_said_ready(output: str) -> bool:
    return "ready" in output.splitlines()


async def _together(*work: Coroutine[None, None, None]) -> None:
    """At once; the first failure ends the others, and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in work:
                group.create_task(coroutine)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
