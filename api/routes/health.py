"""Health, readiness, version and metrics of this process."""

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

router = APIRouter(tags=["service"])

READY_TIMEOUT = 3.0


class Health(Schema):
    status: str


class Version(Schema):
    name: str
    version: str


@router.get("/healthz")
async def healthz() -> Health:
    """Check that the process runs."""
    return Health(status="ok")


@router.get("/readyz")
async def readyz(container: ContainerDep) -> Response:
    """Check that the database and Temporal answer."""
    try:
        async with asyncio.timeout(READY_TIMEOUT):
            async with connection(container.database) as conn:
                await conn.fetchval("SELECT 1")
            is_temporal_healthy = await container.client.service_client.check_health()
    except (*INFRASTRUCTURE_FAILURES, RPCError, RuntimeError) as exc:
        return problem(ErrorCode.TEMPORARILY_UNAVAILABLE, f"Not ready: {type(exc).__name__}.")
    if not is_temporal_healthy:
        return problem(ErrorCode.TEMPORARILY_UNAVAILABLE, "Not ready: Temporal is not healthy.")
    return Response(Health(status="ready").model_dump_json(), media_type="application/json")


@router.get("/version")
async def get_version() -> Version:
    return Version(name="groupbuy", version=version("groupbuy"))


@router.get("/metrics", include_in_schema=False)
async def metrics(container: ContainerDep) -> Response:
    await container.callback_backlog.refresh()
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
