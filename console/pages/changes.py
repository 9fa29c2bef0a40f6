"""Server-sent events that tell open pages to fetch themselves again."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse

from api.dependencies import ContainerDep
from api.http.filters import OrderFilters, RefundFilters, TeamFilters
from api.http.protocol import ENDLESS
from console.access import PartsDep, ViewerDep
from console.filters import CallbackFilters
from console.lists import AttentionFilter, ListFilter
from domain.schemas.attention import AttentionKind
from domain.types import TeamId

router = APIRouter(prefix="/changes")

Seen = Annotated[int, Query(ge=0, lt=2**63)]


@router.get("/team/{team_id}")
async def team(
    request: Request, team_id: TeamId, _viewer: ViewerDep, container: ContainerDep, parts: PartsDep, seen: Seen = 0
) -> Response:
    """For pages of the team and of its orders."""
    return _stream(request, parts.teams.changes(container.database, team_id, seen))


async def _list_changes(
    request: Request, _viewer: ViewerDep, container: ContainerDep, parts: PartsDep, seen: Seen = 0
) -> Callable[[ListFilter], Response]:
    """Returns what answers the page of a list, by the filters of its address."""
    return lambda filters: _stream(request, parts.lists.changes(container.database, filters, seen))


ListChangesDep = Annotated[Callable[[ListFilter], Response], Depends(_list_changes)]


@router.get("/teams")
async def teams(changes_of: ListChangesDep, filters: TeamFilters) -> Response:
    return changes_of(filters)


@router.get("/orders")
async def orders(changes_of: ListChangesDep, filters: OrderFilters) -> Response:
    return changes_of(filters)


@router.get("/refunds")
async def refunds(changes_of: ListChangesDep, filters: RefundFilters) -> Response:
    return changes_of(filters)


@router.get("/callbacks")
async def callbacks(changes_of: ListChangesDep, filters: CallbackFilters) -> Response:
    return changes_of(filters)


@router.get("/attention")
async def attention(changes_of: ListChangesDep, kind: AttentionKind | None = None) -> Response:
    return changes_of(AttentionFilter(kind))


def _stream(request: Request, events: AsyncIterator[str]) -> Response:
    """A stopping server breaks it off, and the page comes back."""
    request.scope[ENDLESS] = True
    return StreamingResponse(events, media_type="text/event-stream")
