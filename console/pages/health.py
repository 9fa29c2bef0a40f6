"""How the parts are, the invariants, and the backlog. Apart from the first page, which does not wait for it."""

import asyncio
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.dependencies import ContainerDep
from console.access import ViewerDep
from console.rendering import render
from db.callbacks.queries import read_backlog
from db.core.clock import TOLERATED
from db.core.invariants import Horizons
from db.gauges import read_passes
from db.reconciliation.invariants import check_invariants
from db.teams.wakeups import count_wakeups

router = APIRouter()

CHECK_WITHIN = timedelta(seconds=0.1)


@router.get("/health")
async def health(request: Request, _viewer: ViewerDep, container: ContainerDep) -> Response:
    horizons = Horizons.of(container.settings.callback_give_up)
    parts, invariants = await asyncio.gather(
        container.parts.look(), check_invariants(container.database, datetime.now(UTC), horizons, CHECK_WITHIN)
    )
    return render(
        request,
        "health.html",
        parts=parts,
        clock_tolerated=TOLERATED,
        engine_is_away=container.admission.is_engine_away,
        invariants=invariants,
        backlog=await read_backlog(container.database),
        wakeups=await count_wakeups(container.database),
        passes=await read_passes(container.database),
    )
