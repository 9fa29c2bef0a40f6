"""The console as an application of its own, which the API mounts."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from fastapi import FastAPI
from starlette.datastructures import State
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.pages import Assets, policy
from api.http.tracing import NO_TELEMETRY
from console import pages
from console.access import ConsoleParts
from console.attempts import SignInAttempts
from console.cookies import NEW_COOKIES
from console.lists import list_versions
from console.live import Watch
from console.problems import add_exception_handlers
from console.sessions import Signer
from db.teams.queries import count_team_changes

if TYPE_CHECKING:
    from console.single_sign_on import SingleSignOn

HEADERS = [
    (b"content-security-policy", policy(forms="'self'").encode()),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
LOOK_EVERY, LOOK_AT_LISTS_EVERY = 1.0, 2.0
"""seconds"""
NO_STORING = (b"cache-control", b"no-store")


def create_console(signer: Signer, state: State, oidc: Mapping[str, object] | None = None) -> ASGIApp:
    """Returns the console.

    Args:
        signer: signs what browsers keep.
        state: the API's, with its container.
        oidc: how it is registered with an OpenID Connect provider (console/single_sign_on.py); None: keys alone.
    """
    app = FastAPI(openapi_url=None, telemetry=NO_TELEMETRY, redirect_slashes=False)
    app.state = state
    app.state.console = ConsoleParts(
        signer=signer,
        attempts=SignInAttempts(),
        teams=Watch(count_team_changes, LOOK_EVERY),
        lists=Watch(list_versions, LOOK_AT_LISTS_EVERY),
        single_sign_on=_single_sign_on(oidc),
    )
    add_exception_handlers(app)
    for router in pages.ROUTERS:
        app.include_router(router)
    app.mount("/static", Assets(Path(__file__).parent / "static"))
    return ConsoleMiddleware(app)


def _single_sign_on(oidc: Mapping[str, object] | None) -> "SingleSignOn | None":
    if oidc is None:
        return None
    from console.single_sign_on import OidcSettings, SingleSignOn

    return SingleSignOn(OidcSettings.model_validate(oidc))


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
