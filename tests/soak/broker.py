"""A RabbitMQ of the soak's own, which can be killed and paused: the machine's broker serves others, too."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from embedded.orphans import PidFile
from embedded.ports import HOST, free_port
from embedded.supervisor import Keeper, Part, Program, Supervisor

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""the server itself: the command of that name on the PATH belongs to the machine's broker"""
NAMES = "epmd"
"""Erlang's name server, without which no node starts"""


def find_broker() -> Path | None:
    return SERVER if SERVER.exists() and shutil.which(NAMES) else None


@asynccontextmanager
async def running_broker(server: Path, folder: Path) -> AsyncIterator[tuple[Keeper, str]]:
    """The broker, and its URL. Its messages survive a restart; its name server is its own, and is not one of the parts."""
    port, names_port = free_port(), free_port()
    (folder / "rabbitmq.conf").write_text(f"listeners.tcp.local = {HOST}:{port}\n")
    (folder / "enabled_plugins").write_text("[].\n")
    (folder / "rabbitmq-env.conf").touch()
    environment = {
        **os.environ,
        "HOME": str(folder),
        "ERL_EPMD_ADDRESS": HOST,
        "ERL_EPMD_PORT": str(names_port),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_MNESIA_BASE": str(folder),
        "RABBITMQ_NODENAME": "soak@localhost",
        "RABBITMQ_PID_FILE": str(folder / "broker.pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1",
    }
    supervised = Supervisor(folder, PidFile(folder / "pids"), lambda _: None, lambda: None)
    names = Program(name="names", command=[shutil.which(NAMES) or NAMES], environment=environment, cwd=folder)
    broker = Program(name="broker", command=[str(server)], environment=environment, cwd=folder, stop_within=15)
    try:
        await supervised.start(Part(names, _is_up))
        await supervised.start(Part(broker, _is_ready))
        yield supervised["broker"], f"amqp://guest:guest@{HOST}:{port}/"
    finally:
        await supervised.stop("broker")
        await supervised.stop("names")


async def _is_up(_: str) -> bool:
    return True


async def _is_ready(output: str) -> bool:
    return has_started(output)


def has_started(output: str) -> bool:
    """What it writes when it takes connections."""
    return "completed with" in output
