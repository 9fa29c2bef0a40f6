"""A light HTTP client for the load: what a request costs in that process is taken from what is measured."""

import asyncio
import json
from typing import Any, cast
from urllib.parse import urlsplit

import httptools


class _Connection(asyncio.Protocol):
    """One that is kept alive, for one request at a time."""

    _transport: asyncio.WriteTransport
    _answer: asyncio.Future[tuple[int, bytes]]

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""

    @property
    def is_open(self) -> bool:
        return not self._transport.is_closing()

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._body = b""

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        self._answer.set_result((self._parser.get_status_code(), self._body))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the server closed the connection"))


class HttpCaller:
    def __init__(self, url: str, key: str) -> None:
        place = urlsplit(url).netloc
        self._host, _, self._port = place.partition(":")
        self._head = f"Host: {place}\r\nAuthorization: Bearer {key}\r\n"
        self._idle: list[_Connection] = []

    async def get(self, path: str) -> tuple[int, Any]:
        return await self._ask(f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode())

    async def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\n{self._head}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        return await self._ask(head.encode() + content)

    async def _ask(self, request: bytes) -> tuple[int, Any]:
        """The status, and the JSON of the answer."""
        connection = await self._connection()
        status, body = await connection.ask(request)
        self._idle.append(connection)
        return status, json.loads(body)

    async def _connection(self) -> _Connection:
        while self._idle:
            if (idle := self._idle.pop()).is_open:
                return idle
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, self._host, int(self._port))
        return connection
