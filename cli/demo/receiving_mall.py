"""Malls that receive callbacks inside this process: one that takes everything, one that vetoes refunds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from pydantic import BaseModel, JsonValue
from standardwebhooks import Webhook, WebhookVerificationError

from cli.demo.client import JourneyError
from cli.demo.schemas import Callback

VETO: dict[str, JsonValue] = {"code": "refund_rejected", "detail": "packed already"}


class Event(BaseModel):
    """The body of a callback."""

    type: str
    sequence: int
    data: dict[str, JsonValue]


@dataclass(frozen=True)
class Listener:
    """Where the malls of this process listen."""

    host: str
    """address that is listened on"""
    name: str
    """what the workers call it"""
    port: int = 0
    """0: a free one"""


class ReceivingMall:
    """Answers 200; one that vetoes answers 409 to every `order.refund_requested`."""

    def __init__(self, webhook_secret: str, path: str = "/callbacks", *, vetoes: bool = False) -> None:
        self.url = ""
        self.path = path
        self.received: list[Callback] = []
        """oldest first, each once"""
        self.errors: list[str] = []
        self._webhook = Webhook(webhook_secret)
        self._vetoes = vetoes

    async def callbacks(self, team_id: str) -> list[Callback]:
        self.require_verified()
        return [callback for callback in self.received if callback.data.get("team_id") == team_id]

    def require_verified(self) -> None:
        """Raises JourneyError where a callback came whose signature was wrong."""
        if self.errors:
            raise JourneyError(f"a callback at {self.url} could not be verified: {self.errors[0]}")

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            self._webhook.verify(body, dict(request.headers), json_parse=False)
            event = Event.model_validate_json(body)
        except (WebhookVerificationError, ValueError) as exc:  # ValueError: a malformed signature, or no event
            self.errors.append(" ".join(str(exc).split())[:200])
            return web.Response(status=401)
        self._keep(request.headers["webhook-id"], event)
        return web.json_response(VETO, status=409) if self._is_vetoed(event) else web.Response()

    def _is_vetoed(self, event: Event) -> bool:
        return self._vetoes and event.type == "order.refund_requested"

    def _keep(self, event_id: str, event: Event) -> None:
        for callback in self.received:
            if callback.event_id == event_id:
                callback.times_received += 1
                return
        self.received.append(Callback(event_id=event_id, times_received=1, **event.model_dump()))


@asynccontextmanager
async def listening(listener: Listener, *malls: ReceivingMall) -> AsyncIterator[None]:
    """Lets these malls receive callbacks, each at its path, while the block runs."""
    application = web.Application()
    for mall in malls:
        application.router.add_post(mall.path, mall.receive)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, listener.host, listener.port).start()
        except OSError as error:
            raise JourneyError(f"no callbacks can be received at {listener.host}:{listener.port}: {error.strerror}") from error
        name = f"[{listener.name}]" if ":" in listener.name else listener.name
        for mall in malls:
            mall.url = f"http://{name}:{runner.addresses[0][1]}{mall.path}"
        yield
    finally:
        await runner.cleanup()
