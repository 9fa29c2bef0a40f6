"""The FastAPI applications: the API, and what may have a port of its own: the legacy format, and the metrics."""

from collections.abc import Mapping
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

import tracing
from api import routes
from api.container import lifespan
from api.http.middleware import RequestMiddleware
from api.http.pages import Assets
from api.http.problems import Problem, add_exception_handlers
from api.http.routing import add_routes
from api.http.tracing import NO_TELEMETRY, TracedRequests
from api.legacy.access import AccessRules
from api.legacy.routes import router as legacy_router
from api.openapi.document import extend_openapi, operation_id
from api.openapi.webhooks import webhooks
from api.routes import metrics, ops
from console.app import create_console
from console.cookies import BASE
from console.sessions import Signer
from settings import Settings


def create_app(*, with_metrics: bool = True) -> FastAPI:
    app = FastAPI(
        title="groupbuy",
        summary="A group-buying (拼团) trading platform: every team is a durable saga.",
        version=version("groupbuy"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        telemetry=NO_TELEMETRY,
        redirect_slashes=False,  # a redirect would send a browser's POST again, and its body and key to another address
    )
    add_exception_handlers(app)
    for router in (*routes.ROUTERS, *ops.ROUTERS, *[metrics.router] * with_metrics):
        add_routes(app, router)
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
        telemetry=NO_TELEMETRY,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
        responses={"4XX": {"model": Problem}, "5XX": {"model": Problem}},
    )
    add_exception_handlers(app)
    app.include_router(legacy_router)
    extend_openapi(app)
    app.add_middleware(RequestMiddleware, answers_head=False)  # a GET may change something
    return app


def create_metrics_app() -> FastAPI:
    """Returns the application of the metrics alone; its state must have the `container`."""
    app = FastAPI(openapi_url=None, telemetry=NO_TELEMETRY, redirect_slashes=False)
    add_exception_handlers(app)
    add_routes(app, metrics.router)
    app.add_middleware(RequestMiddleware)
    return app


class PortSwitch:
    """Passes a request to the application of the port that it came to, else to the API."""

    def __init__(self, api: FastAPI, others: Mapping[int, FastAPI]) -> None:
        self._api = api
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        port = 0 if scope["type"] == "lifespan" else scope["server"][1]
        await self._others.get(port, self._api)(scope, receive, send)


async def _to_console(_request: Request) -> Response:
    return RedirectResponse(f"{BASE}/")


def create_server_app() -> ASGIApp:
    """Returns what the server runs: the API, and what has a port of its own."""
    settings = Settings()
    tracing.begin("groupbuy-api")
    api = create_app(with_metrics=settings.metrics_port is None)
    if secret := settings.console_secret:
        api.add_route(BASE, _to_console, include_in_schema=False)
        signer = Signer(secret.get_secret_value(), longest=timedelta(hours=settings.console_session_hours))
        api.mount(BASE, create_console(signer, api.state, _oidc(settings)))
    others = {}
    if settings.legacy_port is not None:
        others[settings.legacy_port] = create_legacy_app()
        api.state.access_rules = AccessRules.of(settings)
    if settings.metrics_port is not None:
        others[settings.metrics_port] = create_metrics_app()
    for other in others.values():
        other.state = api.state
    app = PortSwitch(api, others) if others else api
    return TracedRequests(app) if tracing.is_on() else app


def _oidc(settings: Settings) -> dict[str, object] | None:
    """How the console is registered with an OpenID Connect provider, if it is."""
    if settings.oidc_issuer is None:
        return None
    return {
        "issuer": settings.oidc_issuer,
        "client_id": settings.oidc_client_id,
        "client_secret": settings.oidc_client_secret.get_secret_value(),
        "scope": settings.oidc_scope,
        "roles_claim": settings.oidc_roles_claim,
        "roles": settings.oidc_roles,
    }
