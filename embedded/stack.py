"""The one-machine stack: its parts, and the order in which they start and stop."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Self

from embedded.addresses import Addresses
from embedded.data_dir import DataDir, write_private
from embedded.errors import StackError
from embedded.external_database import check_database, without_password
from embedded.http import responds
from embedded.orphans import PidFile, stop_orphans
from embedded.plan import Options, Plan
from embedded.postgres import find_orphaned_server, find_postgres, remove_stale_pid_file
from embedded.supervisor import Keeper, Part, Program, Report, Supervisor
from embedded.temporal import check_temporal, find_temporal

ORPHANS_STOP_WITHIN = 10.0


class Stack:
    """`async with Stack(Options(data_dir=…)) as stack:` is ready inside the block; after it, no process is left.

    Its parts are called postgres, temporal, worker-1 …, mall and api. `report` gets a line for every step.
    """

    _plan: Plan

    def __init__(self, options: Options, report: Report = lambda _: None) -> None:
        self._options = options
        self._report = report
        self._data_dir = DataDir(options.data_dir)
        self._pids = PidFile(self._data_dir.pids)
        self._supervisor = Supervisor(self._data_dir.logs, self._pids, report, self._publish_addresses)
        self._workers = [f"worker-{number}" for number in range(1, options.workers + 1)]
        self._cleanup = AsyncExitStack()
        self._external_version = ""
        """of a PostgreSQL that runs elsewhere"""
        self._ready = False

    @property
    def addresses(self) -> Addresses:
        plan = self._plan
        return Addresses(
            api_url=plan.api_url,
            legacy_url=plan.legacy_url,
            console_url=plan.console_url,
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
        """Stops a part until `start_part`."""
        await self._supervisor.stop(name)

    async def start_part(self, name: str) -> None:
        await self._supervisor[name].start()

    def kill(self, name: str) -> None:
        """Kills a part as a crash would; the supervisor restarts it."""
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
            # Cancelled while a failed start is being cleaned up: the cleanup must finish all the same.
            await stopping
            raise

    async def _start(self) -> None:
        # Everything that can be refused is refused before any process starts.
        options, directory = self._options, self._data_dir
        postgres_binaries = None if options.database_url else find_postgres()
        temporal_binary = None if options.temporal_address else find_temporal()
        directory.open(postgres_binaries.version if postgres_binaries else None)
        self._cleanup.callback(directory.close)
        await self._stop_orphans()
        if options.database_url:
            foreign = options.use_external_database or options.services_only
            self._external_version = await check_database(options.database_url, may_be_foreign=foreign)
        self._plan = Plan.make(options, directory, postgres_binaries, temporal_binary)

        self._cleanup.push_async_callback(self._stop)
        await _concurrently(self._start_database(), self._start_temporal())
        if not options.services_only:
            await _concurrently(*(self._start_application(title, part) for title, part in self._applications()))
        self._ready = True
        self._publish_addresses()

    async def _stop_orphans(self) -> None:
        self._data_dir.addresses.unlink(missing_ok=True)
        found = [*self._pids.orphans(), *find_orphaned_server(self._data_dir.postgres)]
        if orphans := {orphan.process.pid: orphan for orphan in found}:
            self._report(f"an earlier run was killed; stopping what it left behind: pid {', '.join(map(str, orphans))}")
            await stop_orphans(list(orphans.values()), ORPHANS_STOP_WITHIN)
        remove_stale_pid_file(self._data_dir.postgres)

    async def _start_database(self) -> None:
        plan, began = self._plan, time.monotonic()
        if postgres := plan.postgres:
            postgres.prepare_machine(self._report)
            if initdb := postgres.initdb(plan.base_environment()):
                await self._supervisor.run(initdb)
                postgres.finish_initdb()
            await self._supervisor.start(postgres.part(plan.base_environment()))
            version = await postgres.create_database()
        else:
            version = self._external_version
        self._report_ready(f"PostgreSQL {version} at {without_password(plan.database_url)}", began)
        if not self._options.services_only:
            began = time.monotonic()
            arguments = (plan.mall_url, str(self._data_dir.keys))
            environment = plan.application_environment()
            await self._supervisor.run(self._python("prepare", "embedded.prepare", *arguments, environment=environment))
            self._report_ready("migrations and demo data", began)

    async def _start_temporal(self) -> None:
        plan, began = self._plan, time.monotonic()
        if temporal := plan.temporal:
            await self._supervisor.start(temporal.part(plan.base_environment()))
            await temporal.set_retention()
        else:
            await check_temporal(plan.temporal_address, self._report)
        ui = f", UI at {plan.temporal_ui_url}" if plan.temporal_ui_url else ""
        self._report_ready(f"Temporal at {plan.temporal_address}{ui}", began)

    def _applications(self) -> Iterator[tuple[str, Part]]:
        plan = self._plan
        environment = plan.application_environment()
        for name in self._workers:
            yield name, Part(self._python(name, "worker", environment=environment, stop_within=6), _has_printed_ready)

        api = self._python("api", "api", environment=plan.api_environment(), stop_within=3)
        yield f"API at {plan.api_url}", Part(api, lambda _: responds(f"{plan.api_url}/readyz"))

        environment = {
            **plan.base_environment(),
            "MALL_PORT": str(plan.mall_port),
            "MALL_API_URL": plan.api_url,
            "MALL_KEY": plan.keys.mall_key,
            "MALL_WEBHOOK_SECRET": plan.keys.webhook_secret,
            "MALL_STATE": str(self._data_dir.path / "mall.db"),
            **({"MALL_AMQP_URL": plan.amqp_url} if plan.amqp_url else {}),
        }
        mall = self._python("mall", "mall", environment=environment, stop_within=6)
        yield f"demo mall at {plan.mall_url}", Part(mall, lambda _: responds(f"{plan.mall_url}/healthz"))

    async def _start_application(self, title: str, part: Part) -> None:
        began = time.monotonic()
        await self._supervisor.start(part)
        self._report_ready(title, began)

    def _python(
        self, name: str, module: str, *arguments: str, environment: Mapping[str, str], stop_within: float = 2
    ) -> Program:
        return Program(
            name=name,
            # -P: a file in the working directory must not shadow one of our packages.
            command=[sys.executable, "-P", "-u", "-m", module, *arguments],
            environment=environment,
            cwd=self._data_dir.path,
            stop_within=stop_within,
        )

    async def _stop(self) -> None:
        """Stops clients before servers; each part has its own time, 14 s together."""
        self._ready = False
        self._data_dir.addresses.unlink(missing_ok=True)
        for names in (["api"], ["mall", *self._workers], ["temporal"], ["postgres"]):
            await self._supervisor.stop(*names)

    def _publish_addresses(self) -> None:
        """Writes the file that `running_stack` reads; called again when a part has been restarted."""
        if self._ready:
            write_private(self._data_dir.addresses, self.addresses.to_json())

    def _report_ready(self, title: str, began: float) -> None:
        self._report(f"{title}: ready, {time.monotonic() - began:.1f} s")


async def _has_printed_ready(output: str) -> bool:
    return "ready" in output.splitlines()


async def _concurrently(*work: Coroutine[None, None, None]) -> None:
    """Runs all at once; the first failure cancels the others and is raised itself, outside its group."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in work:
                group.create_task(coroutine)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
