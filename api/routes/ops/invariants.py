"""The check of the invariants."""

from fastapi import APIRouter

from api.dependencies import ContainerDep, OpsDep
from db.core.invariants import Violation, violations
from domain.types import Schema

router = APIRouter(prefix="/v1/ops/invariants", tags=["operations"])


class Check(Schema):
    violations: list[Violation]


@router.get("")
async def get_invariants(_ops: OpsDep, container: ContainerDep) -> Check:
    """Check the invariants; the list of violations is empty when all hold."""
    return Check(violations=await violations(container.database))
