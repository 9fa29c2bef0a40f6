"""What waits for an operator."""

from fastapi import APIRouter

from api.dependencies import ContainerDep, OpsDep
from api.http.pagination import Cursor, Limit, Page, page, position
from db.attention import list_attention
from domain.schemas.attention import Attention

router = APIRouter(prefix="/v1/ops/attention", tags=["operations"])


@router.get("")
async def get_attention(_ops: OpsDep, container: ContainerDep, limit: Limit = 20, cursor: Cursor = None) -> Page[Attention]:
    """List what waits for an operator, newest first."""
    rows = await list_attention(container.database, position(cursor), limit + 1)
    return page(container.links.fill_all(rows), limit, lambda item: (item.since, f"{item.kind}/{item.subject}"))
