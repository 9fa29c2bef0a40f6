"""What a client may send, how long it may take, and who goes first when there are too many: on a server of its own."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
import uvicorn
from prometheus_client import REGISTRY
from starlette.types import Receive, Scope, Send

from api.http import connections
from api.http.connections import HttpLimits
from api.http.protocol import BODY_PART, MAX_PIPELINED, bounded_protocol
from tests.api.http.raw_client import Client
from tests.api.polling import until

LIMITS = HttpLimits(connections=300, header_bytes=32768, url_bytes=8192, header_timeout=60, body_timeout=60, keep_alive=60)
HURRIED = replace(LIMITS, header_timeout=0.5, body_timeout=1, keep_alive=1)
GET = b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
WORK = GET.replace(b"echo", b"work")
HALF_HEAD = b"GET /echo HTTP/1.1\r\nHost: a"
HALF_BODY = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345"


@dataclass
class App:
    """Answers /echo with the length of its body, /work when it may, and /large with more than a socket takes."""

    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    at_work: int = 0
    disconnected: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        length, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnected += 1
                return
            length, more = length + len(message["body"]), message["more_body"]
        if scope["path"] == "/work":
            self.at_work += 1
            await self.may_answer.wait()
            self.at_work -= 1
        answer = b"x" * 50_000_000 if scope["path"] == "/large" else b"%d" % length
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
        await send({"type": "http.response.body", "body": answer})


Connect = Callable[[], Awaitable[Client]]


@asynccontextmanager
async def serving(app: App, limits: HttpLimits) -> AsyncIterator[Connect]:
    clients: list[Client] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, http=bounded_protocol(limits), lifespan="off", timeout_graceful_shutdown=1)
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup([listener])

        async def connect() -> Client:
            clients.append(await Client.connect(*listener.getsockname()))
            return clients[-1]

        try:
            async with asyncio.timeout(30):
                yield connect
        finally:
            for client in clients:
                client.close()
            await server.shutdown([listener])


async def at_work(app: App, requests: int) -> None:
    async def look() -> int:
        return app.at_work

    await until(look, lambda seen: seen == requests)


async def open_connections() -> float | None:
    return REGISTRY.get_sample_value("groupbuy_connections")


@pytest.mark.parametrize("sent", [b"", HALF_HEAD, HALF_BODY, GET], ids=["silent", "half a head", "half a body", "idle"])
async def test_300_that_send_nothing_more_keep_nobody_out(sent: bytes) -> None:
    async with serving(App(), LIMITS) as connect:
        for _ in range(LIMITS.connections):
            await (await connect()).send(sent)
        for _ in range(10):
            began = time.monotonic()
            assert await (await connect()).answer(GET) == (200, b"0")
            assert time.monotonic() - began < LIMITS.header_timeout / 2


async def test_the_slow_go_before_the_idle_and_those_at_work_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SLOW_AFTER", 0)
    app = App()
    async with serving(app, replace(LIMITS, connections=3)) as connect:
        working, idle, slow = [await connect() for _ in range(3)]
        assert await idle.answer(GET) == (200, b"0")
        await working.send(WORK)
        await slow.send(HALF_BODY)
        await at_work(app, 1)

        second = await connect()
        assert await slow.is_closed()
        assert await idle.answer(GET) == (200, b"0")
        await second.send(WORK)
        await at_work(app, 2)
        third = await connect()
        assert await idle.is_closed()
        await third.send(WORK)
        await at_work(app, 3)

        assert await (await connect()).refusal() == (503, "temporarily_unavailable")
        app.may_answer.set()
        assert [await client.answer() for client in (working, second, third)] == [(200, b"0")] * 3
        assert await (await connect()).answer(GET) == (200, b"0")


async def test_who_takes_too_long_is_told_and_closed() -> None:
    app = App()
    drops = [b"x"] * 1000
    async with serving(app, HURRIED) as connect:

        async def trickle(begin: bytes, *, after_an_answer: bool = False) -> tuple[int, str]:
            client = await connect()
            if after_an_answer:
                assert await client.answer(GET) == (200, b"0")
            return await client.refusal(begin, *drops, pause=0.05)

        refusals = await asyncio.gather(
            trickle(HALF_HEAD),
            trickle(HALF_HEAD, after_an_answer=True),
            trickle(HALF_BODY.replace(b"10", b"1000")),
        )
        assert set(refusals) == {(408, "invalid_request")}
        assert app.disconnected == 1


async def test_who_sends_and_reads_nothing_is_closed() -> None:
    async with serving(App(), HURRIED) as connect:
        silent, idle, bare_lines, reader = [await connect() for _ in range(4)]
        for client in (idle, bare_lines):
            assert await client.answer(GET) == (200, b"0")
        lines = asyncio.create_task(bare_lines.send(*[b"\r\n"] * 1000, pause=0.01))
        await reader.send(GET.replace(b"echo", b"large"))
        await asyncio.gather(*(client.is_closed() for client in (silent, idle, bare_lines)), lines, return_exceptions=True)
        await until(open_connections, lambda count: count == 0)
        # What it had not read is lost.
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.answer()


async def test_an_upload_takes_as_long_as_its_parts_arrive_in_time() -> None:
    part = b"x" * BODY_PART
    length = 5 * len(part)
    async with serving(App(), HURRIED) as connect:
        client = await connect()
        head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length
        began = time.monotonic()
        assert await client.answer(head, *[part] * 5, pause=0.4) == (200, b"%d" % length)
        assert time.monotonic() - began > 1.5 * HURRIED.body_timeout


FIELD = b"X: " + b"x" * 1000 + b"\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ([GET[:-2], *[FIELD] * 33, b"\r\n"], 431),
        ([GET[:-2] + FIELD * 33 + b"\r\n"], 431),
        ([GET[:-2], b"X: ", *[b"x" * 1000] * 1000], 431),
        ([GET.replace(b"echo", b"x" * 8200)], 414),
        ([b"GET /", *[b"x" * 1000] * 1000], 414),
        ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], 400),
        ([CHUNKED, b"1;", *[b"x" * 50_000] * 20], 400),
        ([CHUNKED, b"0\r\n", *[FIELD] * 1000], 400),
    ],
    ids=["many fields", "at once", "a long field", "long address", "endless address", "HTTP/2", "chunk extension", "trailers"],
)
async def test_who_sends_too_much_is_told_and_closed(sent: list[bytes], status: int) -> None:
    async with serving(App(), LIMITS) as connect:
        assert await (await connect()).refusal(*sent) == (status, "invalid_request")
        assert await (await connect()).answer(GET) == (200, b"0")


async def test_what_is_within_the_limits_is_answered() -> None:
    body = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
    async with serving(App(), LIMITS) as connect:
        client = await connect()
        assert await client.answer(GET[:-2] + FIELD * 31 + b"\r\n") == (200, b"0")
        assert await client.answer(GET.replace(b"echo", b"echo?" + b"x" * 8000)) == (200, b"0")
        # As Java's client sends its first request.
        upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        for first in (body + upgrade + b"\r\nabc", CHUNKED[:-2] + upgrade + b"\r\n3\r\nabc\r\n0\r\n\r\n"):
            assert await client.answer(first) == (200, b"3")
            assert await client.answer(first[:-2], first[-2:], pause=0.05) == (200, b"3")
        many = (GET + body + b"\r\nabc") * 5
        await client.send(*[many[begin : begin + 7] for begin in range(0, len(many), 7)])
        assert [await client.answer() for _ in range(10)] == [(200, b"0"), (200, b"3")] * 5


async def test_an_endless_queue_of_requests_is_cut() -> None:
    app = App()
    async with serving(app, LIMITS) as connect:
        client = await connect()
        await client.send(WORK * (MAX_PIPELINED + 2))
        assert await client.is_closed()
        app.may_answer.set()
