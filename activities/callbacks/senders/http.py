"""Callbacks over HTTP: to registered hosts, at public addresses, without redirects, within a time."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Literal

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from pydantic import BaseModel, ValidationError

from activities.callbacks.formats import FORMATS, UnsendableError
from activities.callbacks.senders.base import NOTE, Reply
from db.callbacks.deliveries import Delivery
from domain.addresses import is_public, url_refusal
from domain.lifecycle import MallAnswer
from domain.schemas.events import EventType

GONE, CONFLICT = 410, 409
READ_AT_MOST = 4096
LONGEST_WAIT = timedelta(days=30)
NAMES_AT_ONCE = 64

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


class Names(AbstractResolver):
    """Looks names up in threads of its own. A name whose server hangs keeps one of them, however many callbacks wait for it."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(NAMES_AT_ONCE, "names")

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        look_up = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        return [
            ResolveResult(
                hostname=host, host=str(place[0]), port=int(place[1]), family=of, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for of, _, protocol, _, place in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class HttpSender:
    def __init__(self, public: aiohttp.ClientSession, local: aiohttp.ClientSession) -> None:
        self._public = public
        self._local = local
        """for malls that are marked local: it connects anywhere"""

    async def send(self, delivery: Delivery, now: datetime) -> Reply:
        if refused := url_refusal(delivery.address, delivery.hosts):
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
    own = Names()
    names = resolver or own

    def session(**guarded: Any) -> aiohttp.ClientSession:  # noqa: ANN401
        # How many connections there are is bounded by turns, mall by mall: a limit over all would let one mall hold up another.
        # Nothing is kept of a name; the cache is there for those who look up the same one at the same time.
        # Idle ones are closed before the mall does it, which many do after five seconds: else a callback may meet the closing.
        connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=0, keepalive_timeout=4, resolver=names, **guarded)
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())

    try:
        async with session(socket_factory=public_socket) as public, session() as local:
            yield HttpSender(public, local)
    finally:
        await own.close()


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
    except (ValueError, TypeError, OverflowError):
        return None


def _error(failure: BaseException) -> str:
    if isinstance(failure, TimeoutError):
        return "no answer in time"
    if isinstance(failure, aiohttp.ClientConnectorError):
        return f"no connection to {failure.host}:{failure.port}: {failure.os_error.strerror or failure.os_error}"[:NOTE]
    return f"{type(failure).__name__}: {failure}"[:NOTE]
