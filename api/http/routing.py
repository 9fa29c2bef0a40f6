"""Routers, and how their routes become an application's."""

from fastapi import APIRouter, FastAPI

from api.http.problems import Problem
from api.openapi.document import operation_id


def api_router(prefix: str = "", *, tags: list[str] | None = None, include_in_schema: bool = True) -> APIRouter:
    """Returns a router whose routes are complete, so that `add_routes` can add them as they are."""
    return APIRouter(
        prefix=prefix,
        tags=[*(tags or ())],
        include_in_schema=include_in_schema,
        responses={"4XX": {"model": Problem}, "5XX": {"model": Problem}},
        generate_unique_id_function=operation_id,
    )


def add_routes(app: FastAPI, router: APIRouter) -> None:
    """Adds a router's routes to those of the application.

    FastAPI's `include_router` adds the router: each request is looked for in one router after the other, and in the right one
    twice, which costs several times as much for each route on the way.
    """
    app.router.routes.extend(router.routes)
