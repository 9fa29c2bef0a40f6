"""The API process: `python -m api`."""

import logging
import os
import resource
import socket
import sys
from contextlib import suppress

import uvicorn
from pydantic import ValidationError

from api.http.access_log import configure_access_log
from api.http.connections import HttpLimits
from api.http.protocol import bounded_protocol
from domain.types import validation_message
from logs import configure_logs
from settings import Settings

log = logging.getLogger("groupbuy.api")

KEEP_ALIVE = 75.0
"""seconds; longer than clients keep idle connections, because a request sent while the server closes one would be lost"""
FINISH_WITHIN = 3
"""seconds in which open requests are answered after the process was told to stop"""
OTHER_FILES = 200
"""connections to PostgreSQL and Temporal, and whatever else is open"""


def main() -> int:
    try:
        settings = Settings()
    except ValidationError as exc:
        for error in exc.errors():
            print(f"api: GROUPBUY_{str(error['loc'][0]).upper()}: {validation_message(error['msg'])}", file=sys.stderr)  # noqa: T201
        return 2
    configure_logs(settings.log_level, as_json=settings.log_format == "json")
    configure_access_log()
    listeners = [(os.environ.get("GROUPBUY_API_HOST", "127.0.0.1"), int(os.environ.get("GROUPBUY_API_PORT", "8000")))]
    if settings.legacy_port is not None:
        listeners.append((settings.legacy_host, settings.legacy_port))
        if settings.legacy_port == listeners[0][1]:
            print("api: GROUPBUY_LEGACY_PORT: the API has this port", file=sys.stderr)  # noqa: T201
            return 2
    if settings.metrics_port is not None:
        if settings.metrics_port in {port for _, port in listeners}:
            print("api: GROUPBUY_METRICS_PORT: the API or the legacy format has this port", file=sys.stderr)  # noqa: T201
            return 2
        listeners.append((settings.metrics_host, settings.metrics_port))
    try:
        sockets = [_listen(host, port) for host, port in listeners]
    except OSError as exc:
        print(f"api: {exc}", file=sys.stderr)  # noqa: T201
        return 1
    limits = HttpLimits(
        connections=_allow_connections(settings.http_connections),
        url_bytes=settings.http_url_bytes,
        header_bytes=settings.http_header_bytes,
        header_timeout=settings.http_header_timeout,
        body_timeout=settings.http_body_timeout,
        keep_alive=KEEP_ALIVE,
    )
    config = uvicorn.Config(
        "api.app:create_server_app",
        factory=True,
        access_log=False,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=FINISH_WITHIN,
        server_header=False,
        http=bounded_protocol(limits),
        # The legacy format needs the address of the TCP peer (api/legacy/access.py).
        proxy_headers=False,
    )
    with suppress(KeyboardInterrupt):  # Ctrl-C, raised again after the server has stopped
        uvicorn.Server(config).run(sockets)
    return 0


def _listen(host: str, port: int) -> socket.socket:
    """Raises OSError; the message names the address."""
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def _allow_connections(count: int) -> int:
    """Returns how many connections this process may have, after raising its limit of open files where it can.

    Without a free file a server accepts nobody, and so could not close a connection for a new one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + OTHER_FILES
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        log.warning("GROUPBUY_HTTP_CONNECTIONS is %d, but this process may have %d open files", count, hard)
    return max(allowed - OTHER_FILES, 1)


if __name__ == "__main__":
    sys.exit(main())
