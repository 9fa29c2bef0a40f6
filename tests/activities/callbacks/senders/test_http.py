"""One attempt over HTTP: what is sent, what counts as delivered, and which addresses are refused."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from standardwebhooks import Webhook

from activities.callbacks.senders import http as module
from activities.callbacks.senders.base import MAX_TEXT
from activities.callbacks.senders.http import MAX_BODY, MAX_VETO, HttpSender, http_sender
from activities.callbacks.senders.names import LOOK_UPS_OF_A_MALL
from db.callbacks.deliveries import Delivery
from domain.lifecycle import MallAnswer
from domain.schemas.events import EventType
from embedded.ports import HOST
from tests.activities.callbacks.deliveries import NOW, OLDER_SECRET, REFUNDED, SECRET, delivery
from tests.stack.running import eventually

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Mall:
    """A server on every address of this machine, whose answers the test sets."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answer: Handler = self.ok
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/callbacks"

    async def ok(self, _: web.Request) -> web.StreamResponse:
        return web.Response()

    def answers_with(self, status: int, text: str = "", **headers: str) -> None:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(status=status, text=text, headers={name.replace("_", "-"): it for name, it in headers.items()})

        self.answer = answer

    async def receive(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return await self.answer(request)


@pytest.fixture
async def mall() -> AsyncIterator[Mall]:
    mall = Mall()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", mall.receive)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "0.0.0.0", 0)  # noqa: S104 - 127.0.0.2, too
    await site.start()
    mall.port = runner.addresses[0][1]
    yield mall
    await runner.cleanup()


@pytest.fixture
async def sender() -> AsyncIterator[HttpSender]:
    async with http_sender(5) as made:
        yield made


async def test_a_callback_is_signed_with_the_two_newest_secrets(mall: Mall, sender: HttpSender) -> None:
    now = datetime.now(UTC)
    secrets = (SECRET, OLDER_SECRET, "whsec_cmV0aXJlZA==")

    result = await sender.send(delivery(mall.url, secrets=secrets), now)

    assert (result.http_status, result.error) == (200, None)
    [(headers, body)] = mall.requests
    assert headers["webhook-id"] == "evt_1"
    assert len(headers["webhook-signature"].split()) == 2
    for secret in (SECRET, OLDER_SECRET):
        assert Webhook(secret).verify(body, headers)["data"]["team_id"] == "t1"
    assert json.loads(body) == {
        "type": "team.completed",
        "timestamp": "2026-05-01T12:00:00Z",
        "sequence": 7,
        "data": {"team_id": "t1", "campaign_id": 100123, "completion": "target", "out_trade_nos": ["n1", "n2"]},
    }


@pytest.mark.parametrize("secrets", [(), ("whsec_a",), ("whsec_Zm9v", "whsec_b")])
async def test_without_a_usable_secret_nothing_is_sent_and_no_secret_is_shown(
    mall: Mall, sender: HttpSender, secrets: tuple[str, ...]
) -> None:
    unsigned = delivery(mall.url, secrets=secrets)
    result = await sender.send(unsigned, NOW)
    assert result.error
    assert "secret" in result.error
    assert not any(secret in f"{result} {unsigned}" for secret in secrets)
    assert mall.requests == []


@pytest.mark.parametrize(("status", "is_final"), [(302, False), (404, False), (410, True), (500, False)])
async def test_only_2xx_is_delivered_and_only_410_is_final(mall: Mall, sender: HttpSender, status: int, is_final: bool) -> None:
    mall.answers_with(status, Location=f"http://{HOST}:{mall.port}/elsewhere")
    result = await sender.send(delivery(mall.url), NOW)
    assert (result.http_status, result.error, result.is_final) == (status, f"answered {status}", is_final)
    assert len(mall.requests) == 1


@pytest.mark.parametrize(
    ("header", "after"),
    [
        ("120", timedelta(minutes=2)),
        ("Fri, 01 May 2026 12:03:00 GMT", timedelta(minutes=3)),
        ("Fri, 01 May 2026 11:00:00 GMT", timedelta()),
        ("9" * 5000, timedelta(days=30)),
        ("soon", None),
        ("Fri, 01 May 9" + "9" * 20 + " 11:00:00 +" + "9" * 20, None),
        ("-5", None),
        ("２", None),
    ],
)
async def test_retry_after_is_parsed(mall: Mall, sender: HttpSender, header: str, after: timedelta | None) -> None:
    mall.answers_with(503, Retry_After=header if header.isascii() else "")
    assert (await sender.send(delivery(mall.url), NOW)).retry_after == after


async def test_only_the_beginning_of_an_endless_answer_is_read(mall: Mall, sender: HttpSender) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * MAX_BODY)

    mall.answer = endless
    result = await sender.send(delivery(mall.url), NOW)
    assert (result.error, len(result.body)) == (None, MAX_BODY)


async def test_a_mall_that_does_not_answer_meets_the_timeout(mall: Mall) -> None:
    hangs = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await hangs.wait()
        return web.Response()

    mall.answer = hang
    async with http_sender(0.2) as sender:
        result = await sender.send(delivery(mall.url), NOW)
    hangs.set()
    assert (result.http_status, result.error) == (None, "no answer in time")


async def test_a_question_is_answered_by_2xx_or_a_veto(mall: Mall, sender: HttpSender) -> None:
    question = delivery(mall.url, type=EventType.ORDER_REFUND_REQUESTED)
    assert (await sender.send(question, NOW)).answer is MallAnswer.AGREED
    mall.answers_with(409, '{"code": "refund_rejected", "detail": "packed"}')
    result = await sender.send(question, NOW)
    assert (result.error, result.answer, result.note) == (None, MallAnswer.VETOED, "packed")
    for other in ("no", '{"code": "refund_rejected"'):
        mall.answers_with(409, other)
        assert (await sender.send(question, NOW)).error == "answered 409"


async def test_a_veto_of_any_length_is_a_veto(mall: Mall, sender: HttpSender) -> None:
    question = delivery(mall.url, type=EventType.ORDER_REFUND_REQUESTED)
    for veto in (
        {"detail": "包" * MAX_BODY, "code": "refund_rejected"},
        {"code": "refund_rejected", "detail": "包" * MAX_VETO},
    ):
        mall.answers_with(409, json.dumps(veto, ensure_ascii=False))
        result = await sender.send(question, NOW)
        assert (result.error, result.answer, result.note) == (None, MallAnswer.VETOED, "包" * MAX_TEXT)


@pytest.fixture
def hanging_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[str], threading.Event]]:
    """Every name leads to this machine; look-ups of those below `.hangs` are noted, and wait for the event."""
    begun: list[str] = []
    released = threading.Event()

    def look_up(host: str, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        if host.endswith(".hangs"):
            begun.append(host)
            released.wait(10)
        return real(HOST, *arguments, **named)

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield begun, released
    released.set()


async def test_names_that_hang_hold_up_their_own_mall_alone(
    mall: Mall, hanging_names: tuple[list[str], threading.Event]
) -> None:
    begun, released = hanging_names
    names = [f"{number}.hangs" for number in range(50)]

    def to(source: str, host: str, port: int) -> Delivery:
        return delivery(f"http://{host}:{port}/", source=source, hosts=(host,))

    async with http_sender(5) as sender:
        same = [asyncio.create_task(sender.send(to("s01", "0.hangs", port), NOW)) for port in (mall.port, *range(1, 20))]
        others = [asyncio.create_task(sender.send(to("s01", name, mall.port), NOW)) for name in names[1:]]
        for _ in range(3):
            assert (await sender.send(to("s02", "mall.test", mall.port), NOW)).error is None
        await eventually(lambda: len(begun) >= LOOK_UPS_OF_A_MALL)  # each in a thread
        assert sorted(begun) == names[:LOOK_UPS_OF_A_MALL]
        assert not any(each.done() for each in (*same, *others))
        released.set()
        assert {result.error for result in await asyncio.gather(*others)} == {None}
        assert (await same[0]).error is None
        await asyncio.gather(*same)  # nobody listens at the other ports
    assert sorted(begun) == sorted(names)


async def test_a_look_up_that_nobody_waits_for_leaves_the_queue(
    mall: Mall, hanging_names: tuple[list[str], threading.Event]
) -> None:
    begun, released = hanging_names
    names = [f"{number}.hangs" for number in range(50)]
    async with http_sender(0.3) as sender:
        attempts = [sender.send(delivery(f"http://{name}:{mall.port}/", hosts=names), NOW) for name in names]
        assert {result.error for result in await asyncio.gather(*attempts)} == {"no answer in time"}
        released.set()
        assert (await sender.send(delivery(f"http://mall.test:{mall.port}/"), NOW)).error is None
    # Those that were begun cannot be stopped, and keep their slots until they end.
    assert begun == names[:LOOK_UPS_OF_A_MALL]


# --- the legacy format ---


async def test_a_legacy_mall_acknowledges_with_success(mall: Mall, sender: HttpSender) -> None:
    completed = delivery(mall.url, format="original", secrets=())
    for text, is_acknowledged in (("success", True), ("error", False), ("<html>success</html>", False), ("", False)):
        mall.answers_with(200, text)
        assert ((await sender.send(completed, NOW)).error is None) is is_acknowledged, text
    assert {body for _, body in mall.requests} == {b'{"teamId":"t1","outTradeNoList":["n1","n2"]}'}


async def test_a_legacy_notify_url_receives_completed_teams_only(mall: Mall, sender: HttpSender) -> None:
    result = await sender.send(delivery(mall.url, format="original", **REFUNDED), NOW)
    assert result.error == "the legacy format has no order.refunded over http"
    assert mall.requests == []


# --- addresses ---


async def test_a_host_that_is_no_longer_registered_is_not_called(mall: Mall, sender: HttpSender) -> None:
    result = await sender.send(delivery(mall.url, hosts=("mall.example",)), NOW)
    assert result.error == "the callback URL is refused: 127.0.0.1 is not a registered host of the mall."
    assert mall.requests == []


class Resolver(AbstractResolver):
    """Resolves any name to the given addresses, one after the other."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = list(addresses)

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        address = self._addresses.pop(0)
        return [ResolveResult(hostname=host, host=address, port=port, family=family or socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None: ...


@asynccontextmanager
async def resolving(*addresses: str) -> AsyncIterator[HttpSender]:
    async with http_sender(5, Resolver(*addresses)) as made:
        yield made


@pytest.mark.parametrize("host", [HOST, "127.0.0.2", "localhost", "[::1]"])
async def test_a_mall_that_is_not_local_is_not_called_on_this_machine(mall: Mall, host: str) -> None:
    url, hosts = f"http://{host}:{mall.port}/", (host,)
    async with http_sender(5) as sender:
        result = await sender.send(delivery(url, hosts=hosts, local=False), NOW)
        assert result.error is not None
        assert "is not a public address" in result.error
        assert mall.requests == []


@pytest.mark.parametrize("address", ["10.0.0.5", "169.254.169.254", "192.168.0.1", "100.100.100.200"])
async def test_a_name_that_resolves_to_a_private_address_is_not_called(address: str) -> None:
    async with resolving(address) as sender:
        result = await sender.send(delivery("http://mall.test/", local=False), NOW)
    assert result.error is not None
    assert f"{address} is not a public address" in result.error


async def test_the_address_of_a_name_is_checked_at_every_attempt(mall: Mall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_public", lambda address: address == HOST)
    mall.answers_with(500, Connection="close")
    rebound = delivery(f"http://mall.test:{mall.port}/", local=False)
    async with resolving(HOST, "127.0.0.2", HOST) as sender:
        first, second, third = [await sender.send(rebound, NOW) for _ in range(3)]
    assert (first.error, third.error) == ("answered 500", "answered 500")
    assert "127.0.0.2 is not a public address" in str(second.error)
    assert len(mall.requests) == 2
