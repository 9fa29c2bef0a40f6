"""Teams: the list, a team with its seats and timeline, and what operators do to it."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from api.container import Container
from api.dependencies import ContainerDep
from api.http.filters import TeamFilters
from api.http.pagination import Cursor, EntryNumber, page, position
from console.access import FormDep, OperatorDep, ViewerDep
from console.forms import FormError, ReasonedAct, new_act_id, validated
from console.lists import ROWS, version
from console.problems import FieldProblem
from console.rendering import done, render
from console.timeline import timeline_with_runs
from db.orders.queries import OrderFilter, list_ops_orders
from db.refunds.queries import RefundFilter, list_refunds
from db.teams.queries import count_team_changes, list_teams, read_team, team_key
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import OrderStatus, TeamStatus
from domain.schemas.orders import OpsOrder
from domain.schemas.teams import Team
from domain.types import TeamId

router = APIRouter()

MAX_SEATS = 1000
SHOWN_ORDERS = 100


class TeamAct(StrEnum):
    EXTEND = "extend"
    COMPLETE = "complete"
    CLOSE = "close"


class Extension(ReasonedAct):
    minutes: Annotated[int, Field(ge=1, le=525_600)]


class Seats(NamedTuple):
    """The live seats that an act concerns."""

    paid: list[OpsOrder]
    unpaid: list[OpsOrder]

    @property
    def amount(self) -> Decimal:
        """What is returned if the paid seats are refunded."""
        return sum((order.pay_price for order in self.paid), Decimal())


@router.get("/teams")
async def teams(
    request: Request, _viewer: ViewerDep, container: ContainerDep, filters: TeamFilters, cursor: Cursor = None
) -> Response:
    rows = await list_teams(container.database, filters, position(cursor), ROWS + 1)
    found = page(rows, ROWS, team_key)
    return render(
        request,
        "teams/list.html",
        teams=found.data,
        next_cursor=found.next_cursor,
        statuses=list(TeamStatus),
        act_id=new_act_id(),
        version=version(rows),
    )


@router.get("/teams/{team_id}")
async def team(
    request: Request, team_id: TeamId, _viewer: ViewerDep, container: ContainerDep, before: EntryNumber = None
) -> Response:
    counts = await count_team_changes(container.database, [team_id])  # before the rest: what changes meanwhile is told
    found = await _read(container, team_id)
    orders = await list_ops_orders(container.database, OrderFilter(team_id=team_id), None, SHOWN_ORDERS + 1)
    refunds = await list_refunds(container.database, RefundFilter(team_id=team_id), None, SHOWN_ORDERS)
    return render(
        request,
        "teams/team.html",
        team=found,
        changes=counts.get(team_id, 0),
        source=orders[0].source if orders else None,
        orders=orders[:SHOWN_ORDERS],
        has_more=len(orders) > SHOWN_ORDERS,
        timeline=await timeline_with_runs(container, team_id, refunds, before=before),
        acts=list(TeamAct) if found.status is TeamStatus.FORMING else [],
    )


@router.get("/teams/{team_id}/{act}")
async def ask(request: Request, team_id: TeamId, act: TeamAct, _operator: OperatorDep, container: ContainerDep) -> Response:
    return await _ask(request, container, await _read(container, team_id), act, {})


@router.post("/teams/{team_id}/{act}")
async def do(
    request: Request, team_id: TeamId, act: TeamAct, operator: OperatorDep, container: ContainerDep, form: FormDep
) -> Response:
    found = await _read(container, team_id)
    try:
        fields = validated(Extension if act is TeamAct.EXTEND else ReasonedAct, form)
    except FormError as error:
        return await _ask(request, container, found, act, form, error.errors)
    if fields.seen != state(found):
        return await _ask(request, container, found, act, form, has_changed=True)
    by, reason, act_id = operator.author, fields.reason, fields.act_id
    match act:
        case TeamAct.EXTEND if isinstance(fields, Extension):
            outcome, _ = await container.teams.extend(team_id, fields.minutes, by=by, reason=reason, act_id=act_id)
        case TeamAct.COMPLETE:
            outcome, _ = await container.teams.complete(team_id, by=by, reason=reason, act_id=act_id)
        case _:
            outcome, _ = await container.teams.close(team_id, by=by, reason=reason, act_id=act_id)
    return done(request, f"/teams/{team_id}", changed=outcome.changed, detail=outcome.detail)


async def _ask(
    request: Request,
    container: Container,
    found: Team,
    act: TeamAct,
    form: dict[str, str],
    errors: list[FieldProblem] | None = None,
    *,
    has_changed: bool = False,
) -> Response:
    """Shows what the act would do to the team as it is now."""
    return render(
        request,
        "teams/act.html",
        409 if has_changed else 422 if errors else 200,
        team=found,
        act=act,
        seats=await _seats(container, found.team_id),
        form=form,
        errors=errors or [],
        has_changed=has_changed,
        seen=state(found),
        act_id=new_act_id(),
    )


async def _seats(container: Container, team_id: str) -> Seats:
    paid, unpaid = [
        await list_ops_orders(container.database, OrderFilter(team_id=team_id, status=status), None, MAX_SEATS)
        for status in (OrderStatus.PAID, OrderStatus.LOCKED)
    ]
    return Seats(paid, unpaid)


async def _read(container: Container, team_id: str) -> Team:
    found = await read_team(container.database, None, team_id)
    if found is None:
        raise Refusal(ErrorCode.TEAM_NOT_FOUND, f"There is no team {team_id}.")
    return container.links.fill(found)


def state(team: Team) -> str:
    """What a person saw when they decided; an act on another state is asked again."""
    return f"{team.status} {team.lock_count} {team.complete_count} {team.deadline.isoformat()}"
