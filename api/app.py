"""The application."""

from importlib.metadata import version

from fastapi import FastAPI

from api import (
    problems,
    routes_events,
    routes_mall,
    routes_market,
    routes_ops,
    routes_ops_audiences,
    routes_ops_callbacks,
    routes_ops_campaigns,
    routes_ops_refunds,
    routes_original,
    routes_problems,
    routes_service,
    routes_settings,
)
from api.middleware import Guard
from api.openapi import describe, operation_id
from api.platform import lifespan
from api.problems import Problem
from api.webhooks import webhooks

ROUTES = (
    routes_market,
    routes_mall,
    routes_events,
    routes_original,
    routes_ops,
    routes_ops_refunds,
    routes_ops_callbacks,
    routes_ops_audiences,
    routes_ops_campaigns,
    routes_settings,
    routes_problems,
    routes_service,
)


def create_app() -> FastAPI:
    app = FastAPI(
        title="groupbuy",
        summary="A group-buying (拼团) trading platform: every team is a durable saga.",
        version=version("groupbuy"),
        lifespan=lifespan,
        generate_unique_id_function=operation_id,
        responses={"4XX": {"model": Problem}, "5XX": {"model": Problem}},
    )
    problems.install(app)
    for module in ROUTES:
        app.include_router(module.routes)
    app.webhooks.include_router(webhooks)
    describe(app)
    app.add_middleware(Guard)
    return app
