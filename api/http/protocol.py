"""The server's side of an HTTP/1.1 connection, with bounds on what a client may send and how long it may take."""

import asyncio
import logging
from enum import Enum, auto
from functools import partial
from typing import Any, NoReturn, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.http.connections import ConnectionTable, HttpLimits, WaitQueue
from api.http.middleware import REQUESTS
from api.http.problems import problem
from domain.errors import ErrorCode

log = logging.getLogger("groupbuy.access")

ENDLESS = "groupbuy.endless"
"""the key of the ASGI scope for an answer that has no end of its own: a stopping server does not wait for it"""
BODY_PART = 64 * 1024
"""bytes that must arrive within the timeout of a body: an ordinary body as a whole, an upload part by part"""
MAX_CHUNKING = 8
"""bytes that a chunked body may take per byte: extensions of chunks and trailers are not seen by the application's limit"""
MIN_READ = 16 * 1024
"""bytes of a large answer that a client must read within the timeout of a body"""
MAX_PIPELINED = 16

BAD_REQUEST, REQUEST_TIMEOUT, URI_TOO_LONG, HEADER_TOO_LARGE, UNAVAILABLE = 400, 408, 414, 431, 503


class Part(Enum):
    """What of a request is being received."""

    HEAD = auto()
    BODY = auto()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol. Its timer for idle connections is replaced by the table, which has the other times as well."""

    def __init__(self, *, table: ConnectionTable, **arguments: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(**arguments)
        self.queue: WaitQueue | None = None
        self._table = table
        self._limits = table.limits
        self._part: Part | None = None
        self._size = 0
        """bytes of the head that came in earlier chunks; of a body: since a BODY_PART of it was whole"""
        self._body_size = 0
        self._restarted = False
        """_size begins anew with the next chunk"""
        self._unread = 0
        self._refusal = BAD_REQUEST, "This is not HTTP/1.1."
        self._is_closing = False

    # --- called by the transport and by the table ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self._table.admit(self):
            self._refuse(UNAVAILABLE, "All connections of this process are at work.")
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.remove(self)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Called when the server stops: answers are finished, but for those that have no end."""
        if self.cycle is not None and not self.cycle.response_complete and self.scope.get(ENDLESS):
            self.transport.close()
        else:
            super().shutdown()

    def data_received(self, data: bytes) -> None:
        if self._is_closing:
            return
        self._restarted = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._part is Part.HEAD:
                self._ignore_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self._refuse(*self._refusal)
            return
        self._size = 0 if self._restarted else self._size + len(data)
        if self._part is Part.HEAD and len(self.url) > self._limits.url_bytes:
            self._refuse(URI_TOO_LONG, self._url_limit())
        elif self._part is Part.HEAD and self._size > self._limits.header_bytes:
            self._refuse(HEADER_TOO_LARGE, self._header_limit())
        elif self._part is Part.BODY and self._size > MAX_CHUNKING * BODY_PART:
            self._refuse(BAD_REQUEST, "The body has more chunk extensions or trailers than content.")
        else:
            self._update_queue()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.transport.get_write_buffer_size()
        self._update_queue()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._update_queue()

    def time_out(self, queue: WaitQueue) -> None:
        table = self._table
        if queue is table.bodies and self.flow.read_paused:
            self._update_queue()  # the application has yet to read what has arrived
        elif queue is table.heads and self._is_answering():
            self._update_queue()  # the answer to the request before is not cut off
        elif queue is table.unread and self._has_read():
            self._update_queue()
        elif queue is table.heads and self._part is Part.HEAD:
            self._refuse(REQUEST_TIMEOUT, f"The header took more than {self._limits.header_timeout:g} seconds.")
        elif queue is table.bodies:
            self._refuse(REQUEST_TIMEOUT, f"The body took more than {self._limits.body_timeout:g} seconds.")
        else:
            self.abort()

    def abort(self) -> None:
        self.transport.abort()

    # --- called by the parser and by the answer ---

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begin(Part.HEAD)

    def on_headers_complete(self) -> None:
        if len(self.url) > self._limits.url_bytes:
            self._reject(URI_TOO_LONG, self._url_limit())
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > self._limits.header_bytes:
            self._reject(HEADER_TOO_LARGE, self._header_limit())
        if len(self.pipeline) == MAX_PIPELINED:
            self._reject(BAD_REQUEST, "Too many requests were sent without waiting for an answer.")
        if self._offers_upgrade():
            return
        super().on_headers_complete()
        self._begin(Part.BODY)
        self._body_size = 0

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._body_size += len(body)
        if self._body_size >= BODY_PART:
            self._body_size, self._restarted = 0, True
            # What comes after the answer is ignored, but not for longer than the rest of the timeout.
            if not self.cycle.response_complete:
                self._table.stop_waiting(self)

    def on_message_complete(self) -> None:
        if self._part is Part.HEAD:
            return  # an offer to upgrade
        super().on_message_complete()
        self._part = None
        self._table.stop_waiting(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unset_keepalive_if_required()
        self._update_queue()

    # --- offers to upgrade ---

    def _offers_upgrade(self) -> bool:
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != b"CONNECT"

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Reads the request again without its offer to upgrade, after which the parser takes a body for another protocol.

        Java's HTTP client offers HTTP/2 with its first request, also with a POST.
        """
        head = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                head.append(b"connection: close" if b"close" in value.lower() else b"connection: keep-alive")
            elif name != b"upgrade":
                head.append(b"%s: %s" % (name, value))
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join([*head, b"\r\n"]) + rest)

    # --- what the client is waited for ---

    def _begin(self, part: Part) -> None:
        self._part = part
        self._size, self._restarted = 0, True

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _has_read(self) -> bool:
        before, self._unread = self._unread, self.transport.get_write_buffer_size()
        return before - self._unread >= MIN_READ

    def _update_queue(self) -> None:
        queue = self._waits_in()
        if queue is None:
            self._table.stop_waiting(self)
        elif queue is not self.queue:
            self._table.wait(self, queue)

    def _waits_in(self) -> WaitQueue | None:
        if self._is_closing:
            return self._table.closing
        if self._part is Part.BODY:
            return self._table.bodies
        if self._part is Part.HEAD or self.cycle is None:
            return self._table.heads
        if self.flow.write_paused:
            return self._table.unread
        return None if self._is_answering() else self._table.idle

    # --- refusals ---

    def _reject(self, status: int, detail: str) -> NoReturn:
        """Refuses within a callback of the parser, which then reports an error."""
        self._refusal = status, detail
        raise ValueError(detail)

    def _refuse(self, status: int, detail: str) -> None:
        """Answers with a problem and closes, or just closes where an answer is under way."""
        REQUESTS.labels("none", "none", status).inc()
        log.info("%s refused: %d %s", self.client[0] if self.client else "-", status, detail)
        is_this_request = self._part is Part.BODY and not self.pipeline
        if self.cycle.response_started if is_this_request else self._is_answering():
            self.abort()
            return
        if self._is_answering():
            # The application is told, and its answer is not sent.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        code = ErrorCode.TEMPORARILY_UNAVAILABLE if status == UNAVAILABLE else ErrorCode.INVALID_REQUEST
        answer = problem(code, detail, status=status)
        headers = [*self.server_state.default_headers, *answer.raw_headers, (b"connection", b"close")]
        lines = [b"%s: %s\r\n" % header for header in headers]
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", answer.body]))
        # Closed by the client or, after a time, by the table: closing now, with bytes unread, could undo the answer.
        self.transport.write_eof()
        self._is_closing = True
        self._update_queue()

    def _url_limit(self) -> str:
        return f"The address may have {self._limits.url_bytes} bytes."

    def _header_limit(self) -> str:
        return f"The header may have {self._limits.header_bytes} bytes."


def bounded_protocol(limits: HttpLimits) -> type[asyncio.Protocol]:
    """Returns what makes the protocols of a server, for uvicorn's `http`: all of its connections share one table."""
    return cast("type[asyncio.Protocol]", partial(BoundedProtocol, table=ConnectionTable(limits)))
