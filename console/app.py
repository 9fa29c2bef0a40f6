"""The console as an application of its own, which the API mounts."""

from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from fastapi import FastAPI
from pydantic import SecretStr
from starlette.datastructures import State
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.pages import Assets, policy
from api.http.tracing import NO_TELEMETRY
from console import pages
from console.access import ConsoleParts
from console.attempts import SignInAttempts
from console.cookies import NEW_COOKIES
from console.live import TeamWatch
from console.problems import add_exception_handlers
from console.sessions import Signer

HEADERS = [
    (b"content-security-policy", policy(forms="'self'").encode()),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
NO_STORING = (b"cache-control", b"no-store")


def create_console(secret: SecretStr, state: State) -> ASGIApp:
    """Returns the console; `state` is the API's and has its container."""
    app = FastAPI(openapi_url=None, telemetry=NO_TELEMETRY, redirect_slashes=False)
    app.state = state
    app.state.console = ConsoleParts(Signer(secret.get_secret_value()), SignInAttempts(), TeamWatch())
    add_exception_handlers(app)
    for router in pages.ROUTERS:
        app.include_router(router)
    app.mount("/static", Assets(Path(__file__).parent / "static"))
    return ConsoleMiddleware(app)


class ConsoleMiddleware:
    """Ignores filters that are left empty, and gives every answer its headers and new cookies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["query_string"]:
            given = parse_qsl(scope["query_string"].decode("latin-1"))  # drops what is empty
            scope["query_string"] = urlencode([(name, value.strip()) for name, value in given if value.strip()]).encode()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                named = {name.lower() for name, _ in message["headers"]}
                storing = [] if b"cache-control" in named else [NO_STORING]
                added = [*HEADERS, *storing, *scope.get(NEW_COOKIES, ())]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, send_with_headers)
