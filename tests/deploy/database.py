"""The PostgreSQL of an installation, set up by the script of deploy/compose: Debian's, over TLS alone, where it is installed.

The embedded one has no TLS.
"""

import asyncio
import os
import secrets
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedded.ports import HOST
from embedded.postgres import find_postgres
from tests.certificates import OPENSSL, certify, found
from tests.deploy.files import COMPOSE
from tests.drills.replicated import Server

DEBIANS = max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), default=None)
WITH_TLS = DEBIANS is not None and OPENSSL is not None
needs_tls = pytest.mark.skipif(not WITH_TLS, reason="Debian's PostgreSQL is not installed: apt-get install postgresql")
ACCESS = f"host all postgres {HOST}/32 trust\n{'hostssl' if WITH_TLS else 'host'} all all {HOST}/32 scram-sha-256\n"
"""pg_hba.conf: whoever is not the superuser has a password and, where there is TLS, a connection over it"""


@dataclass(frozen=True)
class Database:
    owner_url: str
    run_url: str
    """of the role that runs the processes and owns no table"""
    superuser_url: str
    settings: dict[str, str]
    """of every process, for TLS"""


@asynccontextmanager
async def database(folder: Path) -> AsyncIterator[Database]:
    """Runs it with the databases and roles of deploy/compose."""
    tls, settings = {}, {}
    await asyncio.to_thread(folder.chmod, 0o755)
    if WITH_TLS:
        await asyncio.to_thread(_certify, folder)
        tls = {"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}
        settings = {"PGSSLROOTCERT": str(folder / "ours.crt")}
    binaries = DEBIANS.parent if WITH_TLS and DEBIANS else find_postgres().folder
    server = Server(folder / "postgres", binaries, fsync="off", **tls)
    await server.make("initdb", "--pgdata=.", "--username=postgres", "--auth=trust", "--encoding=utf8", "--no-locale")
    (server.folder / "pg_hba.conf").write_text(ACCESS)
    for name in ("server.crt", "server.key") if WITH_TLS else ():
        await asyncio.to_thread(server.give, folder / name)
    try:
        await server.start()
        owner, runner = secrets.token_hex(12), secrets.token_hex(12)
        await asyncio.to_thread(_create_databases, server, binaries, owner, runner)
        superuser_url = f"postgresql://postgres@{HOST}:{server.port}/groupbuy"
        address = f"{HOST}:{server.port}/groupbuy{'?sslmode=verify-full' if WITH_TLS else ''}"
        urls = [f"postgresql://{role}@{address}" for role in (f"groupbuy:{owner}", f"groupbuy_run:{runner}")]
        yield Database(urls[0], urls[1], superuser_url, settings)
    finally:
        await server.stop()


def _certify(folder: Path) -> None:
    for authority in ("ours", "theirs"):
        found(folder, authority)
    certify(folder, "server", "ours", f"IP:{HOST}")


def _create_databases(server: Server, binaries: Path, owner: str, runner: str) -> None:
    """Runs the script that the image of PostgreSQL runs."""
    given = {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "PGHOST": HOST,
        "PGPORT": str(server.port),
        "GROUPBUY_DATABASE_PASSWORD": owner,
        "GROUPBUY_RUN_PASSWORD": runner,
        "TEMPORAL_DATABASE_PASSWORD": secrets.token_hex(12),
    }
    script = COMPOSE / "postgres" / "create-databases.sh"
    subprocess.run(["/bin/sh", str(script)], env=given, check=True, capture_output=True)
