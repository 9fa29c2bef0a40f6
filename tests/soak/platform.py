"""The platform under soak: every part is a process of its own, and between any two of them lies a line that can fail."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import asyncpg
import psutil
from temporalio.client import Client

from embedded import supervisor
from embedded.http import responds
from embedded.orphans import PidFile
from embedded.plan import Options
from embedded.ports import HOST, free_port
from embedded.stack import Stack
from embedded.supervisor import Keeper, Part, Program, Supervisor
from tests.api.caller import Caller
from tests.line import Line
from tests.paused import paused, processes_of, send
from tests.soak.broker import has_started, running_broker
from tests.stack_fixture import data_dir, environment

SOURCE = "soak"
QUEUED = "queue"
"""the mood of a mall that is told over RabbitMQ"""
SETTINGS = {
    "GROUPBUY_ANSWER_WITHIN": "6",
    "GROUPBUY_CALLBACK_TIMEOUT": "3",
    "GROUPBUY_CALLBACK_FIRST_DELAY": "0.3",
    "GROUPBUY_CALLBACK_MAX_DELAY": "3",
    "GROUPBUY_CALLBACK_GIVE_UP": "60",
}
"""Days of patience would outlast the run: here a mall that fails is told again within seconds, and given up within a minute."""
RESTART_AFTER = 1.0
"""seconds after which a part that died is started again at the latest: here it dies by intention"""

T = TypeVar("T")


@dataclass(frozen=True)
class Platform:
    services: Stack
    """PostgreSQL and Temporal"""
    application: Stack
    """worker and API, which reach the services over lines"""
    lines: Mapping[str, Line]
    """what lies between: `database`, `temporal`, `queue` (to the broker), `callbacks` (to the mall), `calls` (of the mall)"""
    own_parts: Mapping[str, Keeper]
    """the mall and, if there is one, the broker"""
    mall_file: Path
    mall_url: str
    """the mall itself, beside the line"""
    mall: Caller
    ops: Caller
    direct_ops: Caller
    """an operator beside the line"""
    temporal: Client

    @property
    def database_url(self) -> str:
        """PostgreSQL beside the line."""
        return self.services.addresses.database_url

    @property
    def workers(self) -> list[str]:
        return [name for name in ("worker-1", "worker-2") if self._has(name)]

    @property
    def parts(self) -> list[str]:
        return ["postgres", "temporal", *self.workers, "api", *self.own_parts]

    def part(self, name: str) -> Keeper:
        if name in self.own_parts:
            return self.own_parts[name]
        return (self.services if name in {"postgres", "temporal"} else self.application).part(name)

    def callback(self, mood: str = "yes") -> dict[str, str]:
        """Where an order's events go, and what the mall says to them: over HTTP, but for the mood `queue`."""
        if mood == QUEUED and "broker" in self.own_parts:
            return {"kind": "amqp", "routing_key": f"{SOURCE}.events"}
        return {"kind": "http", "url": f"http://{HOST}:{self.lines['callbacks'].port}/{mood}"}

    def kill(self, name: str) -> None:
        processes = processes_of(self.part(name))
        # The broker's first process is a shell, without which it goes on; the others' children end by themselves.
        send(processes if name == "broker" else processes[:1], signal.SIGKILL)

    def paused(self, name: str) -> AbstractContextManager[None]:
        """The part with all its processes stands still."""
        return paused(processes_of(self.part(name)))

    @contextmanager
    def paused_processes(self, pids: Iterable[int]) -> Iterator[None]:
        """These processes stand still, as far as there are any."""
        processes: list[psutil.Process] = []
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                processes.append(psutil.Process(pid))
        with paused(processes):
            yield

    async def is_whole(self) -> bool:
        """Whether every part runs and answers."""
        if not all(self.part(name).pid for name in self.parts):
            return False
        if not all("ready" in self.part(name).output().splitlines() for name in self.workers):
            return False
        if "broker" in self.own_parts and not has_started(self.part("broker").output()):
            return False
        api = self.application.addresses.api_url
        try:
            async with asyncio.timeout(5):
                return await responds(f"{api}/readyz") and await responds(f"{self.mall_url}/healthz")
        except (OSError, TimeoutError):
            return False

    async def with_database(self, ask: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Asks PostgreSQL itself."""
        conn = await asyncpg.connect(self.database_url, timeout=5, command_timeout=30)
        try:
            return await ask(conn)
        finally:
            conn.terminate()

    def _has(self, name: str) -> bool:
        with suppress(KeyError):
            return bool(self.application.part(name))
        return False


@asynccontextmanager
async def running_platform(
    http: aiohttp.ClientSession, *, workers: int = 1, server: Path | None = None
) -> AsyncIterator[Platform]:
    """Ready inside; outside, nothing of it is left. With a server of RabbitMQ, there is a broker."""
    async with AsyncExitStack() as parts:
        folder = parts.enter_context(data_dir())
        parts.enter_context(environment(**SETTINGS))
        parts.enter_context(_quick_restarts())
        for name in ("services", "application", "mall", "broker"):
            (folder / name).mkdir()
        lines: dict[str, Line] = {}
        own_parts: dict[str, Keeper] = {}
        broker_url = None
        if server is not None:
            own_parts["broker"], broker_url = await parts.enter_async_context(running_broker(server, folder / "broker"))
            lines["queue"] = await parts.enter_async_context(_line(broker_url))
        services = await parts.enter_async_context(Stack(Options(data_dir=folder / "services", services_only=True)))
        there = services.addresses
        lines["database"] = await parts.enter_async_context(_line(there.database_url))
        lines["temporal"] = await parts.enter_async_context(_line(f"//{there.temporal_address}"))
        options = Options(
            data_dir=folder / "application",
            workers=workers,
            database_url=_over(lines["database"], there.database_url),
            use_external_database=True,
            temporal_address=f"{HOST}:{lines['temporal'].port}",
            temporal_ui_url=there.temporal_ui_url,
            amqp_url=_over(lines["queue"], broker_url) if broker_url else None,
        )
        application = await parts.enter_async_context(Stack(options))
        # The demo mall has no part in this.
        await application.stop_part("mall")
        here = application.addresses
        lines["calls"] = await parts.enter_async_context(_line(here.api_url))
        port = free_port()
        lines["callbacks"] = await parts.enter_async_context(Line(HOST, port))
        direct_ops = Caller(http, here.api_url, here.ops_key)
        key, secret = await _admit_mall(direct_ops)
        file = folder / "callbacks.jsonl"
        command = [str(port), str(file), secret, *([broker_url] if broker_url else [])]
        own_parts["mall"] = await parts.enter_async_context(_mall(folder / "mall", port, command))
        calls_url = _over(lines["calls"], here.api_url)
        yield Platform(
            services,
            application,
            lines,
            own_parts,
            file,
            f"http://{HOST}:{port}",
            Caller(http, calls_url, key),
            Caller(http, calls_url, here.ops_key),
            direct_ops,
            await Client.connect(there.temporal_address),
        )


async def _admit_mall(ops: Caller) -> tuple[str, str]:
    """The mall's key, and the secret of its callbacks."""
    fields = {"name": "The soak's mall", "callback_hosts": [HOST], "local": True, "request_limit": 100_000}
    (await ops.put(f"/v1/ops/malls/{SOURCE}", fields)).ok()
    key = (await ops.post("/v1/ops/keys", {"name": SOURCE, "source": SOURCE, "scopes": ["read", "trade"]})).ok(201)
    secret = (await ops.post(f"/v1/ops/malls/{SOURCE}/webhook_secrets")).ok(201)
    return key["key"], secret["webhook_secret"]


@asynccontextmanager
async def _mall(folder: Path, port: int, arguments: list[str]) -> AsyncIterator[Keeper]:
    supervised = Supervisor(folder, PidFile(folder / "pids"), lambda _: None, lambda: None)
    root = Path(__file__).parents[2]
    command = [sys.executable, "-u", "-m", "tests.soak.mall", *arguments]
    program = Program(name="mall", command=command, environment=dict(os.environ), cwd=root)
    await supervised.start(Part(program, lambda _: responds(f"http://{HOST}:{port}/healthz")))
    try:
        yield supervised["mall"]
    finally:
        await supervised.stop("mall")


@contextmanager
def _quick_restarts() -> Iterator[None]:
    usual, supervisor.LAST_RESTART_AFTER = supervisor.LAST_RESTART_AFTER, RESTART_AFTER
    try:
        yield
    finally:
        supervisor.LAST_RESTART_AFTER = usual


def _line(url: str) -> Line:
    place = urlsplit(url)
    assert place.port is not None
    return Line(place.hostname or HOST, place.port)


def _over(line: Line, url: str) -> str:
    """The same, at the near end of the line."""
    place = urlsplit(url)
    account, at, _ = place.netloc.rpartition("@")
    return urlunsplit(place._replace(netloc=f"{account}{at}{HOST}:{line.port}"))


async def becomes(look: Callable[[], Awaitable[bool]], within: float) -> bool:
    """Waits until it is so; whether it came to that."""
    deadline = time.monotonic() + within
    while not await look():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.1)
    return True
