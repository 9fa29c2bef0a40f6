"""Around every request: a limit on its body, metrics, a log line when it failed, and an ETag for reads.

In a crowd it is also the door: quotes, locks and payments wait here for their turn, or are refused, before they cost anything.
"""

import re
import time
from contextlib import suppress
from hashlib import blake2b
from typing import Any

from prometheus_client import Counter, Histogram
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import logs
from api.http.access_log import OPERATIONS, REQUEST_ID, REQUEST_ID_HEADER, new_request_id, write_access_line
from api.http.problems import problem
from api.runtime.turns import Turn
from domain.errors import ErrorCode, Unavailable

BODY_LIMIT = 64 * 1024
UPLOAD_LIMIT = 1024**3
"""for the members of an audience, which are read in chunks and never held as a whole"""
PAYLOADS_LIMIT = 4 * 1024**2
"""for what Temporal's UI and CLI have decrypted: what a page of a history holds"""
UPLOAD = re.compile(r"/(?:v1/ops|console)/audiences/[^/]+/members")
PAYLOADS = re.compile(r"/(?:v1/ops|console)/payloads/(?:en|de)code")
LOCK, PAYMENT = "/v1/orders", re.compile(r"/v1/orders/[^/]+/payment")
TEAM = re.compile(rb'"team_id"\s*:\s*"([^"]+)"')
"""in the body of a lock: the team that is joined. Only for the order of those who wait; the route parses the body"""
QUOTES = {"/v1/quotes", "/v1/market"}
REQUESTS = Counter("groupbuy_requests_total", "Requests answered", ["method", "route", "status"])
SECONDS = Histogram(
    "groupbuy_request_seconds", "Time to answer", ["route"], buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
)
REFUSALS = range(400, 500)
"""statuses: nothing was changed"""
OK, NOT_MODIFIED, PAYLOAD_TOO_LARGE, INTERNAL_ERROR = 200, 304, 413, 500

EXTRA_HEADERS = "groupbuy.headers"
"""the key of the ASGI scope for headers that are added to the answer, whatever its status"""


READS_ONLY = "groupbuy.reads_only"
"""the key of the ASGI scope for a POST that changes nothing"""

NO_SNIFFING = (b"x-content-type-options", b"nosniff")
"""many answers have text of others, which no browser may take for a page or a script"""


class RequestMiddleware:
    """Plain ASGI, which costs a few microseconds where a BaseHTTPMiddleware costs a task."""

    def __init__(self, app: ASGIApp, *, answers_head: bool = True) -> None:
        self._app = app
        self._answers_head = answers_head

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD" and self._answers_head:
            # Answered as GET; the server omits the body.
            scope = {**scope, "method": "GET"}
        started = time.perf_counter()
        request_id = scope[REQUEST_ID] = new_request_id()
        logs.request_id.set(request_id)
        headers = [(REQUEST_ID_HEADER, request_id.encode()), NO_SNIFFING]
        received, limit = 0, _body_limit(scope)
        status: int | None = None
        held: Message | None = None
        is_read = scope["method"] == "GET"
        is_tagged = is_read and scope["path"].startswith("/v1/")

        async def receive_limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            # To the application a body that is too large looks like a disconnect; its answer to that is not sent.
            return message if received <= limit else {"type": "http.disconnect"}

        async def send_observed(message: Message) -> None:
            nonlocal status, held
            if received > limit:
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], *scope.get(EXTRA_HEADERS, ()), *headers]}
                # Not after a refusal: who has no key must not be able to empty the cache.
                if not (is_read or scope.get(READS_ONLY)) and scope["path"].startswith(OPERATIONS) and status not in REFUSALS:
                    _invalidate_cache(scope)
                if is_tagged and status == OK:
                    held = message
                    return
            elif held is not None:
                start, held = held, None
                if not message.get("more_body"):
                    start, message = _with_etag(scope, start, message)
                    status = start["status"]
                await send(start)
            await send(message)

        try:
            turn = _turn(scope)
            with suppress(ClientDisconnect):
                if turn is None:
                    await self._app(scope, receive_limited, send_observed)
                else:
                    # First the body: a turn is not held while a slow client sends it.
                    body, receive_again = await _whole_body(receive_limited)
                    async with scope["app"].state.container.turns.take(turn, _team(body)):
                        await self._app(scope, receive_again, send_observed)
            if received > limit and status is None:
                status = PAYLOAD_TOO_LARGE
                detail = f"A body may have at most {limit} bytes."
                answer = problem(ErrorCode.INVALID_REQUEST, detail, status=status)
                answer.raw_headers += headers
                await answer(scope, receive, send)
        except Unavailable as shed:  # of the door: the application answers its own errors
            answer = problem(shed.code, shed.detail, retry_after=shed.retry_after)
            await answer(scope, receive, send_observed)
        finally:
            _record(scope, status or INTERNAL_ERROR, time.perf_counter() - started)


def _turn(scope: Scope) -> Turn | None:
    """Returns what a request waits for; None: nothing."""
    path = scope["path"]
    if path in QUOTES:
        return Turn.QUOTE
    if scope["method"] != "POST":
        return None
    if path == LOCK:
        return Turn.LOCK
    return Turn.PAYMENT if PAYMENT.fullmatch(path) else None


async def _whole_body(receive: Receive) -> tuple[bytes, Receive]:
    """Waits for a body, which is small; returns it, and what receives it again."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    left = iter(messages)

    async def receive_again() -> Message:
        return next(left, None) or await receive()

    return b"".join(message.get("body", b"") for message in messages), receive_again


def _team(body: bytes) -> str:
    """Returns which team the body names; empty: none."""
    found = TEAM.search(body)
    return found[1].decode(errors="replace") if found else ""


def _record(scope: Scope, status: int, seconds: float) -> None:
    route: Any = scope.get("route")
    route_path = getattr(route, "path", "none")
    REQUESTS.labels(scope["method"], route_path, status).inc()
    SECONDS.labels(route_path).observe(seconds)
    write_access_line(scope, status, seconds)


def _body_limit(scope: Scope) -> int:
    if scope["method"] != "POST":
        return BODY_LIMIT
    if UPLOAD.fullmatch(scope["path"]):
        return UPLOAD_LIMIT
    return PAYLOADS_LIMIT if PAYLOADS.fullmatch(scope["path"]) else BODY_LIMIT


def _invalidate_cache(scope: Scope) -> None:
    """An operator's change must hold for every request after its answer, before the database's notice arrives."""
    scope["app"].state.container.cache.invalidate_all()


def _with_etag(scope: Scope, start: Message, body: Message) -> tuple[Message, Message]:
    """Returns the answer with its ETag, or 304 without a body where the client has the same already."""
    etag = b'"' + blake2b(body["body"], digest_size=12).hexdigest().encode() + b'"'
    # Answers depend on the key, and are revalidated each time.
    headers = [*start["headers"], (b"etag", etag), (b"cache-control", b"private, no-cache")]
    if not _matches(scope, etag):
        return {**start, "headers": headers}, body
    kept = [header for header in headers if header[0] not in {b"content-length", b"content-type"}]
    return {**start, "status": NOT_MODIFIED, "headers": kept}, {**body, "body": b""}


def _matches(scope: Scope, etag: bytes) -> bool:
    for name, value in scope["headers"]:
        if name == b"if-none-match":
            etags = {known.strip().removeprefix(b"W/") for known in value.split(b",")}
            return etag in etags or b"*" in etags
    return False
