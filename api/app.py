"""The FastAPI applications: the API, and the legacy format, which has a port of its own."""

from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api import routes
from api.container import lifespan
from api.http.middleware import RequestMiddleware
from api.http.pages import Assets
from api.http.problems import Problem, add_exception_handlers
from api.legacy.access import AccessRules
from api.legacy.routes import router as legacy_router
from api.openapi.document import extend_openapi, operation_id
from api.openapi.webhooks import webhooks
from api.routes import ops
from console.app import create_console
from console.cookies import BASE
from settings import Settings


def create_app() -> FastAPI:
    app = FastAPI(
        title="groupbuy",
        summary="A group-buying (拼团) trading platform: every team is a durable saga.",
        version=version("groupbuy"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would send a browser's POST again, and its body and key to another address
        generate_unique_id_function=operation_id,
        responses={"4XX": {"model": Problem}, "5XX": {"model": Problem}},
    )
    add_exception_handlers(app)
    for router in (*routes.ROUTERS, *ops.ROUTERS):
        app.include_router(router)
    app.mount("/assets", Assets(Path(__file__).parent / "assets"))
    app.webhooks.include_router(webhooks)
    extend_openapi(app)
    app.add_middleware(RequestMiddleware)
    return app


def create_legacy_app() -> FastAPI:
    """Returns the application of the legacy format; its state must have the `container` and the `access_rules`."""
    # Without pages of its own: nothing but the contract is served where callers have no credentials.
    app = FastAPI(
        title="groupbuy: the legacy format",
        version=version("groupbuy"),
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
        responses={"4XX": {"model": Problem}, "5XX": {"model": Problem}},
    )
    add_exception_handlers(app)
    app.include_router(legacy_router)
    extend_openapi(app)
    app.add_middleware(RequestMiddleware, answers_head=False)  # a GET may change something
    return app


class PortSwitch:
    """Passes a request to the legacy format if it came to that format's port, else to the API."""

    def __init__(self, api: FastAPI, legacy: FastAPI, legacy_port: int) -> None:
        self._api = api
        self._legacy = legacy
        self._legacy_port = legacy_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_legacy = scope["type"] != "lifespan" and scope["server"][1] == self._legacy_port
        await (self._legacy if is_legacy else self._api)(scope, receive, send)


async def _to_console(_request: Request) -> Response:
    return RedirectResponse(f"{BASE}/")


def create_server_app() -> ASGIApp:
    """Returns what the server runs: the API, and the legacy format if it has a port."""
    settings, api = Settings(), create_app()
    if settings.console_secret is not None:
        api.add_route(BASE, _to_console, include_in_schema=False)
        api.mount(BASE, create_console(settings.console_secret, api.state))
    if settings.legacy_port is None:
        return api
    legacy = create_legacy_app()
    legacy.state = api.state
    legacy.state.access_rules = AccessRules.of(settings)
    return PortSwitch(api, legacy, settings.legacy_port)
