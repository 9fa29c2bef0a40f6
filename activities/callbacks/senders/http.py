"""Callbacks over HTTP: to registered hosts at public addresses, without redirects, within a timeout."""

import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import aiohttp
from aiohttp.abc import AbstractResolver
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from activities.callbacks.formats import FORMATS, UnsendableError
from activities.callbacks.senders.base import MAX_TEXT, SendResult, traceparent
from activities.callbacks.senders.names import MALL, MallResolver
from db.callbacks.deliveries import Delivery
from domain.addresses import is_public, url_refusal
from domain.lifecycle import MallAnswer
from domain.schemas.events import EventType

GONE, CONFLICT = 410, 409
MAX_BODY = 4096
"""bytes of an answer that are read"""
MAX_VETO = 65536
"""bytes of an answer that may be a veto"""
MAX_RETRY_AFTER = timedelta(days=30)
RECEIVE_BUFFER = 8192
"""bytes of an answer that the system takes at a time: thousands of long answers at once would fill the worker's memory"""

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]


class ForbiddenAddressError(OSError):
    """A callback would be sent to an address that is not public."""


def public_socket(address: AddressInfo) -> socket.socket:
    """Creates the socket of a new connection. Checked here, no name can resolve to a private address after its check.

    Raises:
        ForbiddenAddressError
    """
    endpoint = address[4]
    if not is_public(endpoint[0]):
        raise ForbiddenAddressError(errno.EACCES, f"{endpoint[0]} is not a public address")
    return any_socket(address)


def any_socket(address: AddressInfo) -> socket.socket:
    """Creates the socket of a new connection."""
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    return made


class HttpSender:
    def __init__(self, public: aiohttp.ClientSession, local: aiohttp.ClientSession) -> None:
        self._public = public
        self._local = local
        """for malls that are marked local: connects to any address"""

    async def send(self, delivery: Delivery, now: datetime) -> SendResult:
        if refusal := url_refusal(delivery.address, delivery.hosts):
            return SendResult(None, f"the callback URL is refused: {refusal}")
        body_format = FORMATS[delivery.format]
        try:
            content = body_format.content(delivery, now)
        except UnsendableError as exc:
            return SendResult(None, str(exc))
        http = self._local if delivery.local else self._public
        headers = {"Content-Type": content.content_type, "User-Agent": "groupbuy"} | content.headers | traceparent()
        MALL.set(delivery.source)
        is_question = delivery.type == EventType.ORDER_REFUND_REQUESTED
        try:
            async with http.post(delivery.address, data=content.body, headers=headers, allow_redirects=False) as response:
                status = response.status
                answer = await _read_beginning(response, MAX_VETO if is_question and status == CONFLICT else MAX_BODY)
                retry_after = _parse_retry_after(response.headers.get("Retry-After"), now)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            return SendResult(None, _error(exc))
        body = answer.decode(errors="replace")
        if 200 <= status < 300 and body_format.is_acknowledged(answer):
            return SendResult(status, None, answer=MallAnswer.AGREED if is_question else None, body=body)
        if 200 <= status < 300:
            return SendResult(status, f"answered {status}, but did not acknowledge the event", body=body)
        if is_question and status == CONFLICT and (veto := _parse_veto(answer)):
            return SendResult(status, None, answer=MallAnswer.VETOED, note=veto.detail[:MAX_TEXT], body=body)
        return SendResult(status, f"answered {status}", retry_after, body=body, is_final=status == GONE)


@asynccontextmanager
async def http_sender(timeout_seconds: float, resolver: AbstractResolver | None = None) -> AsyncIterator[HttpSender]:
    """Yields a sender, whose connections are closed when the block ends."""
    own_resolver = MallResolver()

    def session(new_socket: Callable[[AddressInfo], socket.socket]) -> aiohttp.ClientSession:
        # No limit of connections: the per-mall limit bounds them, and a common one would let one mall hold up another.
        # No name is cached: the address is checked at every attempt.
        # Idle connections are closed after 4 s: many servers close them after 5 s, and a callback must not meet that.
        connector = aiohttp.TCPConnector(
            limit=0, use_dns_cache=False, keepalive_timeout=4, resolver=resolver or own_resolver, socket_factory=new_socket
        )
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())

    try:
        async with session(public_socket) as public, session(any_socket) as local:
            yield HttpSender(public, local)
    finally:
        await own_resolver.close()


async def _read_beginning(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Returns up to `limit` bytes of a body, however large it is and however slowly it arrives."""
    read = bytearray()
    while len(read) < limit and (chunk := await response.content.read(limit - len(read))):
        read += chunk
    if not response.content.at_eof():
        # Without this the rest would be read before the connection serves another callback.
        response.close()
    return bytes(read)


class Veto(BaseModel):
    """The body with which a mall vetoes a refund; other members are ignored."""

    code: Literal["refund_rejected"]
    detail: str = ""


def _parse_veto(body: bytes) -> Veto | None:
    try:
        # A body that was not read to its end is no complete JSON; its beginning is as much of a no.
        return Veto.model_validate(from_json(body, allow_partial="trailing-strings" if len(body) >= MAX_VETO else "off"))
    except (ValidationError, ValueError):
        return None


def _parse_retry_after(header: str | None, now: datetime) -> timedelta | None:
    """Returns the delay that a Retry-After header asks for, in seconds or as a date; None where it is unreadable."""
    if not header:
        return None
    if header.isascii() and header.isdecimal():
        return timedelta(seconds=min(int(header[:10]), MAX_RETRY_AFTER.total_seconds()))
    try:
        return min(max(parsedate_to_datetime(header) - now, timedelta()), MAX_RETRY_AFTER)
    except (ValueError, TypeError, OverflowError):
        return None


def _error(exc: BaseException) -> str:
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    if isinstance(exc, aiohttp.ClientConnectorError):
        return f"no connection to {exc.host}:{exc.port}: {exc.os_error.strerror or exc.os_error}"[:MAX_TEXT]
    return f"{type(exc).__name__}: {exc}"[:MAX_TEXT]
