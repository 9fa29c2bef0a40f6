"""The application."""

from importlib.metadata import version

from fastapi import FastAPI

from api import problems, routes_mall, routes_market, routes_ops, routes_ops_refunds, routes_original, routes_service
from api.middleware import Guard
from api.platform import lifespan
from api.problems import Problem


def create_app() -> FastAPI:
    app = FastAPI(
        title="groupbuy",
        summary="A group-buying (拼团) trading platform: every team is a durable saga.",
        version=version("groupbuy"),
        lifespan=lifespan,
        responses={"4XX": {"model": Problem}, "5XX": {"model": Problem}},
    )
    problems.install(app)
    for routes in (
        routes_market.routes,
        routes_mall.routes,
        routes_ops.routes,
        routes_ops_refunds.routes,
        routes_original.routes,
        routes_service.routes,
    ):
        app.include_router(routes)
    app.add_middleware(Guard)
    return app
