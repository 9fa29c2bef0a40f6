"""The filters and the order of the lists that operators see, over the API and in the console."""

from datetime import UTC, date, datetime
from typing import Annotated, NamedTuple

from fastapi import Depends, Query

from api.http.query_params import CampaignQuery
from db.callbacks.deliveries import DeliveryStatus
from db.callbacks.queries import CallbackFilter
from db.campaigns.store import CampaignFilter
from db.orders.queries import OrderFilter
from db.refunds.queries import RefundFilter
from db.teams.queries import TeamFilter
from domain.lifecycle import CampaignStatus, OrderStatus, RefundKind, RefundStatus, TeamStatus
from domain.schemas.events import EventType
from domain.schemas.settlements import Month, MonthlySettlement
from domain.types import Identifier, Moment, Source, TeamId

MAX_DUE = 366 * 86400


async def _orders(
    source: Identifier | None = None,
    user_id: Identifier | None = None,
    team_id: TeamId | None = None,
    campaign_id: CampaignQuery = None,
    status: OrderStatus | None = None,
    out_trade_no: Identifier | None = None,
    owed: bool | None = None,
) -> OrderFilter:
    return OrderFilter(
        source=source,
        user_id=user_id,
        team_id=team_id,
        campaign_id=campaign_id,
        status=status,
        out_trade_no=out_trade_no,
        owed=owed,
    )


async def _teams(
    source: Identifier | None = None,
    campaign_id: CampaignQuery = None,
    goods_id: Identifier | None = None,
    status: TeamStatus | None = None,
    due_within: Annotated[
        int | None, Query(ge=0, le=MAX_DUE, description="forming teams whose deadline is so many seconds away, or over")
    ] = None,
    attention: Annotated[bool | None, Query(description="true: only teams with something that waits for an operator")] = None,
) -> TeamFilter:
    return TeamFilter(
        source=source,
        campaign_id=campaign_id,
        goods_id=goods_id,
        status=status,
        due_within=due_within,
        attention=attention,
    )


async def _refunds(
    source: Identifier | None = None,
    team_id: TeamId | None = None,
    out_trade_no: Identifier | None = None,
    kind: RefundKind | None = None,
    status: RefundStatus | None = None,
) -> RefundFilter:
    return RefundFilter(source=source, team_id=team_id, out_trade_no=out_trade_no, kind=kind, status=status)


async def _callbacks(
    status: DeliveryStatus | None = None,
    source: Identifier | None = None,
    type: EventType | None = None,  # noqa: A002 - the name of the query's parameter
    event_id: Identifier | None = None,
    since: Annotated[Moment | None, Query(description="events at or after this time")] = None,
    until: Annotated[Moment | None, Query(description="events before this time")] = None,
) -> CallbackFilter:
    return CallbackFilter(status=status, source=source, type=type, event_id=event_id, since=since, until=until)


async def _campaigns(
    status: CampaignStatus | None = None,
    source: Annotated[Source | None, Query(description="a mall that it sells in")] = None,
    goods_id: Identifier | None = None,
) -> CampaignFilter:
    return CampaignFilter(status=status, source=source, goods_id=goods_id)


class SettlementFilter(NamedTuple):
    source: str | None
    since: date
    until: date
    """the first days of the first and the last month"""


async def _settlements(
    source: Source | None = None,
    since: Annotated[Month | None, Query(description="first month (UTC); by default eleven months before the last")] = None,
    until: Annotated[Month | None, Query(description="last month (UTC); by default this month")] = None,
) -> SettlementFilter:
    last = first_day(until) if until else datetime.now(UTC).date().replace(day=1)
    first = first_day(since) if since else date(last.year - (last.month < 12), last.month % 12 + 1, 1)
    return SettlementFilter(source, first, last)


def first_day(month: str) -> date:
    return date.fromisoformat(f"{month}-01")


OrderFilters = Annotated[OrderFilter, Depends(_orders)]
TeamFilters = Annotated[TeamFilter, Depends(_teams)]
RefundFilters = Annotated[RefundFilter, Depends(_refunds)]
CampaignFilters = Annotated[CampaignFilter, Depends(_campaigns)]
CallbackFilters = Annotated[CallbackFilter, Depends(_callbacks)]
SettlementFilters = Annotated[SettlementFilter, Depends(_settlements)]


def settlement_key(settlement: MonthlySettlement) -> tuple[datetime, str]:
    return datetime.combine(first_day(settlement.month), datetime.min.time(), UTC), settlement.source
