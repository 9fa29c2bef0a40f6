"""The access log: a JSON line for each answer of 400 and above, and for each change that operations ask for."""

import json
import logging
import secrets
from datetime import UTC, datetime

from starlette.types import Scope

import logs

REQUEST_ID, KEY_ID = "groupbuy.request_id", "groupbuy.key_id"
"""keys of the ASGI scope"""
REQUEST_ID_HEADER = b"x-request-id"
FIRST_ERROR = 400
READS = {"GET", "HEAD", "OPTIONS"}
OPERATIONS = ("/v1/ops/", "/console/")
IDS = ("team_id", "order_id", "out_trade_no", "event_id")
"""of the path that are fields of their own"""
USER = "user_id"

log = logging.getLogger("groupbuy.access")


def configure_access_log() -> None:
    """Lines of this log are JSON as a whole, without the prefix of other logs."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    log.propagate = False


def new_request_id() -> str:
    return secrets.token_hex(12)


def peer(scope: Scope) -> str | None:
    """Returns the address of the TCP peer."""
    client = scope.get("client")
    return client[0] if client else None


def write_access_line(scope: Scope, status: int, seconds: float) -> None:
    is_change = scope["path"].startswith(OPERATIONS) and scope["method"] not in READS
    if status < FIRST_ERROR and not is_change:
        return
    line: dict[str, object] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": "INFO",
        "logger": log.name,
        "request_id": scope[REQUEST_ID],
        "key_id": scope.get(KEY_ID),
        "peer": peer(scope),
        "method": scope["method"],
        "path": _path(scope)[:200],
        "status": status,
        "ms": round(seconds * 1000),
    }
    parameters: dict[str, object] = scope.get("path_params", {})
    line |= {name: str(parameters[name])[:64] for name in IDS if name in parameters}
    log.info(json.dumps(line | logs.trace_ids()))


def _path(scope: Scope) -> str:
    """Returns the path, without the id of a buyer."""
    path: str = scope["path"]
    user = scope.get("path_params", {}).get(USER)
    return path.removesuffix(user) + f"{{{USER}}}" if user and path.endswith(user) else path
