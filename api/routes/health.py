"""Health, readiness, version and metrics of this process."""

import asyncio
from importlib.metadata import version

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from temporalio.service import RPCError

from api.container import Container
from api.dependencies import ContainerDep
from api.http.problems import problem
from db.core.connection import INFRASTRUCTURE_FAILURES, connection
from domain.errors import ErrorCode
from domain.types import Schema

router = APIRouter(tags=["service"])

READY_TIMEOUT = 3.0


class Health(Schema):
    status: str


class Readiness(Schema):
    status: str
    engine: str
    """`ready`, or what does not answer"""


class Version(Schema):
    name: str
    version: str


@router.get("/healthz")
async def healthz() -> Health:
    """Check that the process runs."""
    return Health(status="ok")


@router.get("/readyz")
async def readyz(container: ContainerDep) -> Response:
    """Check that the database answers. `degraded`: Temporal or its workers do not, so that trades are admitted directly."""
    try:
        async with asyncio.timeout(READY_TIMEOUT), connection(container.database) as conn:
            await conn.fetchval("SELECT 1")
    except INFRASTRUCTURE_FAILURES as exc:
        return problem(ErrorCode.TEMPORARILY_UNAVAILABLE, f"Not ready: {type(exc).__name__}.")
    engine = await _engine(container)
    if engine != "ready" and container.settings.admission == "orchestrated":
        return problem(ErrorCode.TEMPORARILY_UNAVAILABLE, f"Not ready: {engine}.")
    readiness = Readiness(status="ready" if engine == "ready" else "degraded", engine=engine)
    return Response(readiness.model_dump_json(), media_type="application/json")


async def _engine(container: Container) -> str:
    if container.admission.is_engine_away:
        return "Temporal or the workers of the teams do not answer"
    try:
        async with asyncio.timeout(READY_TIMEOUT):
            is_healthy = await container.client.service_client.check_health()
    except (RPCError, RuntimeError, TimeoutError) as exc:
        return f"Temporal does not answer: {type(exc).__name__}"
    return "ready" if is_healthy else "Temporal is not healthy"


@router.get("/version")
async def get_version() -> Version:
    return Version(name="groupbuy", version=version("groupbuy"))


@router.get("/metrics", include_in_schema=False)
async def metrics(container: ContainerDep) -> Response:
    await container.backlog.refresh()
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
