"""Server-sent events that tell open pages to fetch themselves again."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from api.dependencies import ContainerDep
from api.http.filters import CallbackFilters, OrderFilters, RefundFilters, TeamFilters
from api.http.protocol import ENDLESS
from console.access import PartsDep, ViewerDep
from console.lists import AttentionFilter
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


@router.get("/teams")
async def teams(
    request: Request, _viewer: ViewerDep, container: ContainerDep, parts: PartsDep, filters: TeamFilters, seen: Seen = 0
) -> Response:
    return _stream(request, parts.lists.changes(container.database, filters, seen))


@router.get("/orders")
async def orders(
    request: Request, _viewer: ViewerDep, container: ContainerDep, parts: PartsDep, filters: OrderFilters, seen: Seen = 0
) -> Response:
    return _stream(request, parts.lists.changes(container.database, filters, seen))


@router.get("/refunds")
async def refunds(
    request: Request, _viewer: ViewerDep, container: ContainerDep, parts: PartsDep, filters: RefundFilters, seen: Seen = 0
) -> Response:
    return _stream(request, parts.lists.changes(container.database, filters, seen))


@router.get("/callbacks")
async def callbacks(
    request: Request, _viewer: ViewerDep, container: ContainerDep, parts: PartsDep, filters: CallbackFilters, seen: Seen = 0
) -> Response:
    return _stream(request, parts.lists.changes(container.database, filters, seen))


@router.get("/attention")
async def attention(
    request: Request,
    _viewer: ViewerDep,
    container: ContainerDep,
    parts: PartsDep,
    kind: AttentionKind | None = None,
    seen: Seen = 0,
) -> Response:
    return _stream(request, parts.lists.changes(container.database, AttentionFilter(kind), seen))


def _stream(request: Request, events: AsyncIterator[str]) -> Response:
    """A stopping server breaks it off, and the page comes back."""
    request.scope[ENDLESS] = True
    return StreamingResponse(events, media_type="text/event-stream")
