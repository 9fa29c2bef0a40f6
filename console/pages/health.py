"""How the parts are: the invariants, the engine, and the backlog. Apart from the first page, which does not wait for it."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.dependencies import ContainerDep
from console.access import ViewerDep
from console.rendering import render
from db.callbacks.queries import read_backlog
from db.core.invariants import Horizons
from db.gauges import read_passes
from db.reconciliation.invariants import check_invariants
from db.teams.wakeups import count_wakeups

router = APIRouter()

CHECK_WITHIN = timedelta(seconds=0.1)


@router.get("/health")
async def health(request: Request, _viewer: ViewerDep, container: ContainerDep) -> Response:
    horizons = Horizons.of(container.settings.callback_give_up)
    return render(
        request,
        "health.html",
        engine_is_away=container.admission.is_engine_away,
        invariants=await check_invariants(container.database, datetime.now(UTC), horizons, CHECK_WITHIN),
        backlog=await read_backlog(container.database),
        wakeups=await count_wakeups(container.database),
        passes=await read_passes(container.database),
    )
