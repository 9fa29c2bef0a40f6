"""The API process: `python -m api`."""

import logging
import os
import socket
import sys
from contextlib import suppress

import uvicorn
from pydantic import ValidationError

from domain.types import validation_message
from settings import Settings


def main() -> int:
    try:
        settings = Settings()
    except ValidationError as exc:
        for error in exc.errors():
            print(f"api: GROUPBUY_{str(error['loc'][0]).upper()}: {validation_message(error['msg'])}", file=sys.stderr)  # noqa: T201
        return 2
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    listeners = [(os.environ.get("GROUPBUY_API_HOST", "127.0.0.1"), int(os.environ.get("GROUPBUY_API_PORT", "8000")))]
    if settings.legacy_port is not None:
        listeners.append((settings.legacy_host, settings.legacy_port))
    if len({port for _, port in listeners}) < len(listeners):
        print("api: GROUPBUY_LEGACY_PORT: the API has this port", file=sys.stderr)  # noqa: T201
        return 2
    try:
        sockets = [_listen(host, port) for host, port in listeners]
    except OSError as exc:
        print(f"api: {exc}", file=sys.stderr)  # noqa: T201
        return 1
    config = uvicorn.Config(
        "api.app:create_server_app",
        factory=True,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=3,
        # Longer than clients keep idle connections, because a request sent while the server closes one would be lost.
        timeout_keep_alive=75,
        server_header=False,
        # The legacy format needs the address of the TCP peer (api/legacy/access.py).
        proxy_headers=False,
    )
    with suppress(KeyboardInterrupt):  # Ctrl-C, raised again after the server has stopped
        uvicorn.Server(config).run(sockets)
    return 0


def _listen(host: str, port: int) -> socket.socket:
    """Raises OSError; the message names the address."""
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


if __name__ == "__main__":
    sys.exit(main())
