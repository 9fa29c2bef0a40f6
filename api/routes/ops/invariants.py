"""The check of the invariants."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Query

from api.dependencies import ContainerDep, OpsDep
from api.http.routing import api_router
from db.core.invariants import Horizons
from db.reconciliation.invariants import check_invariants
from domain.schemas.invariants import InvariantCheck

router = api_router("/v1/ops/invariants", tags=["operations"])

Within = Annotated[float, Query(ge=0.1, le=20, description="seconds that the check may take")]


@router.get("")
async def get_invariants(_ops: OpsDep, container: ContainerDep, within: Within = 2) -> InvariantCheck:
    """Check the invariants; the list of violations is empty when all hold."""
    horizons = Horizons.of(container.settings.callback_give_up)
    return await check_invariants(container.database, datetime.now(UTC), horizons, timedelta(seconds=within))
