"""The application."""

from importlib.metadata import version

from fastapi import FastAPI

from api.container import lifespan
from api.http import problems
from api.http.middleware import Guard
from api.http.problems import Problem
from api.legacy import routes as routes_original
from api.openapi.document import describe, operation_id
from api.openapi.webhooks import webhooks
from api.routes import (
    events as routes_events,
)
from api.routes import (
    health as routes_service,
)
from api.routes import (
    orders as routes_mall,
)
from api.routes import (
    problems as routes_problems,
)
from api.routes import (
    quotes as routes_market,
)
from api.routes.ops import (
    audiences as routes_ops_audiences,
)
from api.routes.ops import (
    callbacks as routes_ops_callbacks,
)
from api.routes.ops import (
    campaign_versions as routes_ops_campaigns,
)
from api.routes.ops import (
    campaigns as routes_ops,
)
from api.routes.ops import (
    refunds as routes_ops_refunds,
)
from api.routes.ops import (
    settings as routes_settings,
)

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
