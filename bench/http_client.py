"""A light HTTP client for the load: its own CPU time is taken from the machine that is measured."""

import asyncio
import json
from itertools import cycle
from typing import Any, cast
from urllib.parse import urlsplit

import httptools


class _Connection(asyncio.Protocol):
    """A keep-alive connection that carries one request at a time."""

    _transport: asyncio.WriteTransport
    _response: asyncio.Future[tuple[int, bytes]]

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""

    @property
    def is_open(self) -> bool:
        return not self._transport.is_closing()

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Returns status and body."""
        self._response = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._response

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._body = b""

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        self._response.set_result((self._parser.get_status_code(), self._body))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._response.done():
            self._response.set_exception(exc or ConnectionResetError("the server closed the connection"))


class HttpClient:
    """JSON over HTTP/1.1 with a bearer key. Opens as many connections as there are concurrent requests."""

    def __init__(self, url: str, key: str, *more_urls: str) -> None:
        """A new connection goes to the next one of the URLs, which are of processes that serve the same."""
        self._addresses = cycle(urlsplit(each).netloc for each in (url, *more_urls))
        self._headers = f"Host: groupbuy\r\nAuthorization: Bearer {key}\r\n"
        self._idle: list[_Connection] = []

    async def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Returns the status and the decoded JSON of the response."""
        status, answer = await self._exchange(method, path, body)
        return status, json.loads(answer or b"null")

    async def text(self, path: str) -> str:
        """Returns the text at this path."""
        _, answer = await self._exchange("GET", path, None)
        return answer.decode()

    async def _exchange(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        content = b"" if body is None else json.dumps(body).encode()
        entity = "" if body is None else f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        connection = await self._connection()
        try:
            response = await connection.send(f"{method} {path} HTTP/1.1\r\n{self._headers}{entity}\r\n".encode() + content)
        except asyncio.CancelledError:
            connection.close()  # its next answer would be taken for that of another request
            raise
        self._idle.append(connection)
        return response

    async def _connection(self) -> _Connection:
        while self._idle:
            if (idle := self._idle.pop()).is_open:
                return idle
        host, _, port = next(self._addresses).partition(":")
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, host, int(port))
        return connection
