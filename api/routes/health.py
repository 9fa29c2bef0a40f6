"""Health, readiness and version of this process."""

import asyncio
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Literal

from fastapi import Response
from temporalio.service import RPCError

from api.container import Container
from api.dependencies import ContainerDep
from api.http.problems import problem
from api.http.routing import api_router
from db.core.clock import TOLERATED, clock_offset
from db.core.connection import INFRASTRUCTURE_FAILURES
from db.teams.wakeups import count_wakeups
from domain.errors import ErrorCode
from domain.types import Schema

router = api_router(tags=["service"])

READY_TIMEOUT = 3.0


class Health(Schema):
    status: str


class Readiness(Schema):
    status: Literal["ready", "degraded"]
    engine: str
    """`ready`, or what of Temporal and its workers does not answer"""
    direct: dict[str, int]
    """locks and payments that this process has admitted directly, by reason"""
    wakeups: int
    """teams that their workflows have not taken over yet"""
    oldest_wakeup_seconds: int
    clock_offset_seconds: float
    """how far PostgreSQL's clock is ahead of this process's"""


class Version(Schema):
    name: str
    version: str


@router.get("/healthz")
async def healthz() -> Health:
    """Check that the process runs."""
    return Health(status="ok")


@router.get("/readyz")
async def readyz(container: ContainerDep) -> Response:
    """Check that the database answers. `degraded`: the engine does not, so that trades go directly; or a clock is wrong."""
    try:
        async with asyncio.timeout(READY_TIMEOUT):
            offset, wakeups = await clock_offset(container.database), await count_wakeups(container.database)
    except INFRASTRUCTURE_FAILURES as exc:
        return problem(ErrorCode.TEMPORARILY_UNAVAILABLE, f"Not ready: {type(exc).__name__}.")
    engine = await _engine(container)
    if engine != "ready" and container.settings.admission == "orchestrated":
        return problem(ErrorCode.TEMPORARILY_UNAVAILABLE, f"Not ready: {engine}.")
    is_ready = engine == "ready" and abs(offset) <= TOLERATED
    readiness = Readiness(
        status="ready" if is_ready else "degraded",
        engine=engine,
        direct=container.admission.direct,
        wakeups=sum(wakeups.counts.values()),
        oldest_wakeup_seconds=int((datetime.now(UTC) - wakeups.oldest).total_seconds()) if wakeups.oldest else 0,
        clock_offset_seconds=round(offset.total_seconds(), 3),
    )
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
