"""PostgreSQL beside the stack: a primary, and a standby that has each commit before it is acknowledged."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from embedded.ports import HOST, free_port
from embedded.postgres import SETTINGS, _system_user, find_postgres
from tests.api.polling import until

STANDBY = "standby"
WITHIN = 30.0


class Server:
    def __init__(self, folder: Path, binaries: Path | None = None, **settings: str) -> None:
        """`binaries`: of another PostgreSQL than the embedded one."""
        self.folder = folder
        self.port = free_port()
        embeddeds = find_postgres().folder  # its package also makes the user
        self._binaries = binaries or embeddeds
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """PostgreSQL refuses to run as root."""
        return {"user": _system_user(), "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}

    async def make(self, tool: str, *arguments: str) -> None:
        """Runs what makes the server's folder."""
        self.folder.mkdir(mode=0o700)
        if self.identity:
            shutil.chown(self.folder, self.identity["user"])
        process = await asyncio.create_subprocess_exec(
            str(self._binaries / tool), *arguments, cwd=self.folder, stdout=asyncio.subprocess.DEVNULL, **self.identity
        )
        assert await process.wait() == 0

    def give(self, file: Path) -> None:
        """Copies a file into the server's folder, for nobody else's eyes."""
        copy = Path(shutil.copy(file, self.folder))
        copy.chmod(0o600)
        if self.identity:
            shutil.chown(copy, self.identity["user"])

    async def start(self) -> None:
        settings = [f"--{name}={value}" for name, value in {**SETTINGS, **self._settings, "port": str(self.port)}.items()]
        command = [str(self._binaries / "postgres"), "-D", ".", *settings]
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, cwd=self.folder, stdout=log, stderr=log, **self.identity
            )
        await until(self._answers, bool, WITHIN)

    async def run(self, statement: str) -> Any:  # noqa: ANN401 - of any type
        conn = await asyncpg.connect(host=HOST, port=self.port, user="postgres", database="postgres", timeout=5)
        try:
            return await conn.fetchval(statement)
        finally:
            await conn.close()

    async def stop(self) -> None:
        """As an operator does: the standby has all that was written."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)
            await self._process.wait()

    async def lose_power(self) -> None:
        """All its processes end at once."""
        assert self._process is not None
        leader = psutil.Process(self._process.pid)
        for process in (leader, *leader.children()):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        await self._process.wait()

    async def _answers(self) -> bool:
        try:
            await self.run("SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True


@asynccontextmanager
async def replicated(folder: Path) -> AsyncIterator[tuple[Server, Server]]:
    """Yields primary and standby."""
    await asyncio.to_thread(folder.chmod, 0o755)
    primary, standby = Server(folder / "primary"), Server(folder / STANDBY)
    try:
        await primary.make("initdb", "--pgdata=.", "--username=postgres", "--auth=trust", "--encoding=utf8", "--no-locale")
        await primary.start()
        await primary.run("CREATE DATABASE groupbuy")
        source = f"host={HOST} port={primary.port} user=postgres application_name={STANDBY}"
        await standby.make("pg_basebackup", "--pgdata=.", "--write-recovery-conf", "--checkpoint=fast", f"--dbname={source}")
        await standby.start()
        # Only now: the copy must not wait for a standby of its own when it has been promoted.
        await primary.run(f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")
        await primary.run("SELECT pg_reload_conf()")
        await until(
            partial(primary.run, "SELECT max(sync_state) FROM pg_stat_replication"), lambda state: state == "sync", WITHIN
        )
        yield primary, standby
    finally:
        for server in (primary, standby):
            await server.stop()
