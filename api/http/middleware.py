"""Around every request: a bound on its body, a count, and a line in the log when it went wrong; a tag on what is read."""

import logging
import re
import time
from contextlib import suppress
from hashlib import blake2b
from typing import Any

from prometheus_client import Counter, Histogram
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import problem
from domain.errors import ErrorCode

log = logging.getLogger("groupbuy.access")

BODY_LIMIT = 64 * 1024
UPLOAD_LIMIT = 1024**3
"""an audience's members: read piece by piece, never held"""
UPLOAD = re.compile(r"/v1/ops/audiences/[^/]+/members")
REQUESTS = Counter("groupbuy_requests_total", "Requests answered", ["method", "route", "status"])
SECONDS = Histogram(
    "groupbuy_request_seconds", "Time to answer", ["route"], buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
)
FIRST_FAILURE = 400
PAYLOAD_TOO_LARGE = 413
FAILED = 500
OK, NOT_MODIFIED = 200, 304

OPERATIONS = "/v1/ops/"
ORIGINAL = "/api/v1/gbm/"
"""there, a GET may change something"""
EXTRA_HEADERS = "groupbuy.headers"
"""where a request's scope has headers for its answer, whatever that will be"""


class Guard:
    """Plain ASGI: it costs a few microseconds where a BaseHTTPMiddleware costs a task."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD" and not scope["path"].startswith(ORIGINAL):
            # As GET; the server leaves the body away.
            scope = {**scope, "method": "GET"}
        started = time.perf_counter()
        received, limit = 0, _body_limit(scope)
        status: int | None = None
        held: Message | None = None
        is_read = scope["method"] == "GET"
        is_tagged = is_read and scope["path"].startswith("/v1/")

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            # For the application a body that is too large breaks off, and what it then says is not sent.
            return message if received <= limit else {"type": "http.disconnect"}

        async def send_noting(message: Message) -> None:
            nonlocal status, held
            if received > limit:
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                if extra := scope.get(EXTRA_HEADERS):
                    message = {**message, "headers": [*message["headers"], *extra]}
                if not is_read and scope["path"].startswith(OPERATIONS):
                    _forget(scope)
                if is_tagged and status == OK:
                    held = message
                    return
            elif held is not None:
                start, held = held, None
                if not message.get("more_body"):
                    start, message = _tagged(scope, start, message)
                    status = start["status"]
                await send(start)
            await send(message)

        try:
            with suppress(ClientDisconnect):
                await self._app(scope, receive_bounded, send_noting)
            if received > limit and status is None:
                status = PAYLOAD_TOO_LARGE
                detail = f"A body has at most {limit} bytes."
                await problem(ErrorCode.INVALID_REQUEST, detail, status=status)(scope, receive, send)
        finally:
            self._note(scope, status or FAILED, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route: Any = scope.get("route")
        path = getattr(route, "path", "none")
        REQUESTS.labels(scope["method"], path, status).inc()
        SECONDS.labels(path).observe(seconds)
        if status >= FIRST_FAILURE:
            asked = scope["path"][:200].encode("unicode_escape").decode()
            log.info("%s %s %d %.0f ms", scope["method"], asked, status, seconds * 1000)


def _body_limit(scope: Scope) -> int:
    return UPLOAD_LIMIT if scope["method"] == "POST" and UPLOAD.fullmatch(scope["path"]) else BODY_LIMIT


def _forget(scope: Scope) -> None:
    """What an operator's request changed holds for every request after its answer: here, before the notice of it comes."""
    scope["app"].state.container.remembered.forget_all()


def _tagged(scope: Scope, start: Message, body: Message) -> tuple[Message, Message]:
    """The answer with its tag or, for who has it already, the tag alone."""
    tag = b'"' + blake2b(body["body"], digest_size=12).hexdigest().encode() + b'"'
    # Everybody sees his own, and nobody without asking again.
    headers = [*start["headers"], (b"etag", tag), (b"cache-control", b"private, no-cache")]
    if not _has(scope, tag):
        return {**start, "headers": headers}, body
    kept = [header for header in headers if header[0] not in {b"content-length", b"content-type"}]
    return {**start, "status": NOT_MODIFIED, "headers": kept}, {**body, "body": b""}


def _has(scope: Scope, tag: bytes) -> bool:
    for name, value in scope["headers"]:
        if name == b"if-none-match":
            tags = {known.strip().removeprefix(b"W/") for known in value.split(b",")}
            return tag in tags or b"*" in tags
    return False
