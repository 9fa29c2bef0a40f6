"""A mall's callback receiver: verifies Standard Webhooks, keeps what came, and answers as the test says."""

import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from pydantic import ValidationError
from standardwebhooks import Webhook

from embedded.ports import HOST, free_port
from tests.api.polling import until
from tests.domain.test_event_schemas import EVENT


@dataclass(frozen=True)
class Received:
    path: str
    event_id: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def type(self) -> str:
        return str(self.body["type"])

    @property
    def data(self) -> dict[str, Any]:
        return dict(self.body["data"])


class Receiver:
    """Every path is an address of its own, which answers 200 unless told otherwise."""

    def __init__(self, webhook_secret: str) -> None:
        self.port = free_port()
        self.received: list[Received] = []
        self.unverified: list[str] = []
        self._webhook = Webhook(webhook_secret)
        self._answers: defaultdict[str, deque[web.Response]] = defaultdict(deque)
        self._answers_to: defaultdict[str, deque[web.Response]] = defaultdict(deque)
        self._answer_with: Callable[[str], web.Response] = lambda _: web.Response()
        self._runner: web.AppRunner | None = None

    def callback(self, path: str = "/callbacks") -> dict[str, str]:
        """What an order carries to be called back here."""
        return {"kind": "http", "url": f"http://{HOST}:{self.port}{path}"}

    def answer_first(self, *answers: web.Response, path: str = "/callbacks") -> None:
        """The next requests get these answers, in this order; those after them 200."""
        self._answers[path].extend(answers)

    def answer_to(self, kind: str, *answers: web.Response) -> None:
        """The next events of this type get these answers."""
        self._answers_to[kind].extend(answers)

    def answer_with(self, answer: Callable[[str], web.Response]) -> None:
        """From now on every event gets what this says to its type."""
        self._answer_with = answer

    def types(self) -> set[str]:
        return {one.type for one in self.received}

    def at(self, path: str) -> list[Received]:
        return [one for one in self.received if one.path == path]

    async def of_type(self, kind: str, count: int = 1, *, path: str = "/callbacks") -> list[Received]:
        """The requests of this type at an address, as soon as there are so many."""

        async def come() -> list[Received]:
            return [one for one in self.at(path) if one.type == kind]

        return await until(come, lambda found: len(found) >= count)

    async def listen(self) -> None:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._receive)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self.port, reuse_address=True).start()

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        text = await request.text()
        headers = dict(request.headers)
        try:
            self._webhook.verify(text, headers)
        except Exception as wrong:  # noqa: BLE001 - whatever it is, the test will say it
            self.unverified.append(f"{wrong!r}: {headers} {text}")
        lower = {name.lower(): value for name, value in headers.items()}
        body = json.loads(text)
        try:
            EVENT.validate_python(body)
        except ValidationError as wrong:
            self.unverified.append(f"{wrong}: {text}")
        self.received.append(Received(request.path, lower.get("webhook-id", ""), lower, body))
        answers = self._answers_to[self.received[-1].type] or self._answers[request.path]
        return answers.popleft() if answers else self._answer_with(self.received[-1].type)


@asynccontextmanager
async def listening(webhook_secret: str) -> AsyncIterator[Receiver]:
    """A receiver; at the end, every callback that came was well signed, and as the OpenAPI document shows it."""
    receiver = Receiver(webhook_secret)
    await receiver.listen()
    try:
        yield receiver
    finally:
        await receiver.close()
    assert receiver.unverified == []
