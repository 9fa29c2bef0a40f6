"""What monitoring and people call."""

import asyncio
from importlib.metadata import version

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from temporalio.service import RPCError

from api.dependencies import ContainerDep
from api.http.problems import problem
from db.core.connection import INFRASTRUCTURE_FAILURES, connection
from domain.errors import ErrorCode
from domain.types import Schema

routes = APIRouter(tags=["service"])

READY_WITHIN = 3.0


class Health(Schema):
    status: str


class Version(Schema):
    name: str
    version: str


@routes.get("/healthz")
async def healthz() -> Health:
    """The process runs."""
    return Health(status="ok")


@routes.get("/readyz")
async def readyz(container: ContainerDep) -> Response:
    """Database and Temporal answer."""
    try:
        async with asyncio.timeout(READY_WITHIN):
            async with connection(container.database) as conn:
                await conn.fetchval("SELECT 1")
            temporal = await container.client.service_client.check_health()
    except (*INFRASTRUCTURE_FAILURES, RPCError, RuntimeError) as failure:
        return problem(ErrorCode.TEMPORARILY_UNAVAILABLE, f"Not ready: {type(failure).__name__}.")
    if not temporal:
        return problem(ErrorCode.TEMPORARILY_UNAVAILABLE, "Not ready: Temporal does not serve.")
    return Response(Health(status="ready").model_dump_json(), media_type="application/json")


@routes.get("/version")
async def get_version() -> Version:
    return Version(name="groupbuy", version=version("groupbuy"))


@routes.get("/metrics", include_in_schema=False)
async def metrics(container: ContainerDep) -> Response:
    await container.backlog.refresh()
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
