"""A mall that vetoes refunds: the callback receiver that the demo starts itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from pydantic import BaseModel, JsonValue
from standardwebhooks import Webhook, WebhookVerificationError

from cli.demo.client import DemoError
from embedded.ports import HOST

VETO: dict[str, JsonValue] = {"code": "refund_rejected", "detail": "packed already"}


class Event(BaseModel):
    """The body of a callback."""

    type: str
    sequence: int
    data: dict[str, JsonValue]


class VetoingMall:
    """Answers 409 to every `order.refund_requested`, and 200 to every other event."""

    def __init__(self, webhook_secret: str) -> None:
        self.url = ""
        self.received: list[Event] = []
        self.errors: list[str] = []
        self._webhook = Webhook(webhook_secret)

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            self._webhook.verify(body, dict(request.headers), json_parse=False)
            event = Event.model_validate_json(body)
        except (WebhookVerificationError, ValueError) as exc:  # ValueError: a malformed signature, or no event
            self.errors.append(" ".join(str(exc).split())[:200])
            return web.Response(status=401)
        self.received.append(event)
        return web.json_response(VETO, status=409) if event.type == "order.refund_requested" else web.Response()


@asynccontextmanager
async def vetoing_mall(webhook_secret: str) -> AsyncIterator[VetoingMall]:
    """Listens on a free port, inside this process."""
    mall = VetoingMall(webhook_secret)
    application = web.Application()
    application.router.add_post("/callbacks", mall.receive)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, HOST, 0).start()
        except OSError as error:
            raise DemoError(f"the demo cannot receive callbacks at {HOST}: {error.strerror}") from error
        mall.url = f"http://{HOST}:{runner.addresses[0][1]}/callbacks"
        yield mall
    finally:
        await runner.cleanup()
