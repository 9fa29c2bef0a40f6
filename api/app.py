"""The FastAPI application."""

from importlib.metadata import version

from fastapi import FastAPI

from api import routes
from api.container import lifespan
from api.http.middleware import RequestMiddleware
from api.http.problems import Problem, add_exception_handlers
from api.legacy.routes import router as legacy_router
from api.openapi.document import extend_openapi, operation_id
from api.openapi.webhooks import webhooks
from api.routes import ops


def create_app() -> FastAPI:
    app = FastAPI(
        title="groupbuy",
        summary="A group-buying (拼团) trading platform: every team is a durable saga.",
        version=version("groupbuy"),
        lifespan=lifespan,
        generate_unique_id_function=operation_id,
        responses={"4XX": {"model": Problem}, "5XX": {"model": Problem}},
    )
    add_exception_handlers(app)
    for router in (*routes.ROUTERS, legacy_router, *ops.ROUTERS):
        app.include_router(router)
    app.webhooks.include_router(webhooks)
    extend_openapi(app)
    app.add_middleware(RequestMiddleware)
    return app
