"""Callbacks over HTTP: to registered hosts, at public addresses, without redirects, within a time."""

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import aiohttp
from aiohttp.abc import AbstractResolver
from pydantic import BaseModel, ValidationError

from activities.formats import FORMATS, UnsendableError
from activities.senders import NOTE, Reply
from db.callbacks import Delivery
from domain.addresses import is_public, refused_url
from domain.events import EventType
from domain.messages import MallAnswer

GONE, CONFLICT = 410, 409
READ_AT_MOST = 4096
LONGEST_WAIT = timedelta(days=30)

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]


class ForbiddenAddressError(OSError):
    """A callback would have gone to an address that is not public."""


def public_socket(address: AddressInfo) -> socket.socket:
    """A socket for a connection that is about to be made: whatever a name resolved to before, this is where it goes.

    Raises:
        ForbiddenAddressError
    """
    family, kind, protocol, _, place = address
    if not is_public(place[0]):
        raise ForbiddenAddressError(errno.EACCES, f"{place[0]} is not a public address")
    return socket.socket(family, kind, protocol)


class HttpSender:
    def __init__(self, public: aiohttp.ClientSession, local: aiohttp.ClientSession) -> None:
        self._public = public
        self._local = local
        """for malls that are marked local: it connects anywhere"""

    async def send(self, delivery: Delivery, now: datetime) -> Reply:
        if refused := refused_url(delivery.address, delivery.hosts):
            return Reply(None, f"the callback URL is refused: {refused}")
        body_format = FORMATS[delivery.format]
        try:
            content = body_format.content(delivery, now)
        except UnsendableError as reason:
            return Reply(None, str(reason))
        http = self._local if delivery.local else self._public
        headers = {"Content-Type": content.content_type, "User-Agent": "groupbuy"} | content.headers
        try:
            async with http.post(delivery.address, data=content.body, headers=headers, allow_redirects=False) as response:
                answered = await _beginning(response)
                status = response.status
                retry_after = _retry_after(response.headers.get("Retry-After"), now)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failure:
            return Reply(None, _error(failure))
        body = answered.decode(errors="replace")
        is_question = delivery.type == EventType.ORDER_REFUND_REQUESTED
        if 200 <= status < 300 and body_format.taken(answered):
            return Reply(status, None, answer=MallAnswer.AGREED if is_question else None, body=body)
        if 200 <= status < 300:
            return Reply(status, f"answered {status}, but not that it was taken", body=body)
        if is_question and status == CONFLICT and (veto := _veto(answered)):
            return Reply(status, None, answer=MallAnswer.VETOED, note=veto.detail[:NOTE], body=body)
        return Reply(status, f"answered {status}", retry_after, body=body, is_final=status == GONE)


@asynccontextmanager
async def http_sender(timeout_seconds: float, resolver: AbstractResolver | None = None) -> AsyncIterator[HttpSender]:
    """With its connections, which end with this block."""

    def session(**guarded: Any) -> aiohttp.ClientSession:  # noqa: ANN401
        # How many connections there are is bounded by turns, mall by mall: a limit over all would let one mall hold up another.
        connector = aiohttp.TCPConnector(limit=0, use_dns_cache=False, resolver=resolver, **guarded)
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())

    async with session(socket_factory=public_socket) as public, session() as local:
        yield HttpSender(public, local)


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """As much of a body as is wanted, or less, however slowly and however much is sent."""
    read = bytearray()
    while len(read) < READ_AT_MOST and (chunk := await response.content.read(READ_AT_MOST - len(read))):
        read += chunk
    if not response.content.at_eof():
        # Else the rest would be read, too, before the connection serves another callback.
        response.close()
    return bytes(read)


class Veto(BaseModel):
    """How a mall says no to a refund; other members are its own affair."""

    code: Literal["refund_rejected"]
    detail: str = ""


def _veto(body: bytes) -> Veto | None:
    try:
        return Veto.model_validate_json(body)
    except ValidationError:
        return None


def _retry_after(header: str | None, now: datetime) -> timedelta | None:
    """What a Retry-After header asks for, in seconds or as a date; None when it says nothing that can be read."""
    if not header:
        return None
    if header.isascii() and header.isdecimal():
        return timedelta(seconds=min(int(header[:10]), LONGEST_WAIT.total_seconds()))
    try:
        return min(max(parsedate_to_datetime(header) - now, timedelta()), LONGEST_WAIT)
    except (ValueError, TypeError):
        return None


def _error(failure: BaseException) -> str:
    if isinstance(failure, TimeoutError):
        return "no answer in time"
    return f"{type(failure).__name__}: {failure}"[:NOTE]
