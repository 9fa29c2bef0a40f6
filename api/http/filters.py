"""The filters and the order of the lists that operators see, over the API and in the console."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Query
from pydantic import Field

from api.http.query_params import CampaignQuery
from db.callbacks.deliveries import DeliveryStatus
from db.callbacks.queries import CallbackFilter
from db.campaigns.store import CampaignFilter
from db.orders.queries import OrderFilter
from db.refunds.queries import RefundFilter
from db.settings.audit import ChangeFilter
from db.settlements import SettlementFilter
from db.statistics import StatisticsFilter
from db.teams.queries import TeamFilter
from domain.lifecycle import CampaignStatus, OrderStatus, RefundKind, RefundStatus, TeamStatus
from domain.schemas.events import EventType
from domain.schemas.settlements import Month
from domain.types import Identifier, Moment, Name, Source, TeamId

MAX_DUE = 366 * 86400
DAYS = timedelta(days=30)
"""of statistics, where nothing else is asked for"""
Subject = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:@/-]+$")]


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


async def _statistics(
    source: Source | None = None,
    since: Annotated[date | None, Query(description="first day (UTC); by default 30 days before the last")] = None,
    until: Annotated[date | None, Query(description="last day (UTC); by default today")] = None,
) -> StatisticsFilter:
    last = until or datetime.now(UTC).date()
    return StatisticsFilter(since or max(last, date.min + DAYS) - DAYS, last, source)


async def _settlements(
    source: Source | None = None,
    since: Annotated[Month | None, Query(description="first month (UTC); by default eleven months before the last")] = None,
    until: Annotated[Month | None, Query(description="last month (UTC); by default this month")] = None,
) -> SettlementFilter:
    last = until or f"{datetime.now(UTC):%Y-%m}"
    return SettlementFilter(since or _eleven_months_before(last), last, source)


def _eleven_months_before(month: str) -> str:
    year, number = map(int, month.split("-"))
    return f"{year - (number < 12):04}-{number % 12 + 1:02}"


async def _changes(
    subject: Annotated[Subject | None, Query(description="`campaign/100123`, or `campaign` for all of its kind")] = None,
    changed_by: Annotated[Name | None, Query()] = None,
    since: Annotated[Moment | None, Query(description="at or after this time")] = None,
    until: Annotated[Moment | None, Query(description="before this time")] = None,
) -> ChangeFilter:
    return ChangeFilter(subject=subject, changed_by=changed_by, since=since, until=until)


OrderFilters = Annotated[OrderFilter, Depends(_orders)]
TeamFilters = Annotated[TeamFilter, Depends(_teams)]
RefundFilters = Annotated[RefundFilter, Depends(_refunds)]
CampaignFilters = Annotated[CampaignFilter, Depends(_campaigns)]
CallbackFilters = Annotated[CallbackFilter, Depends(_callbacks)]
StatisticsFilters = Annotated[StatisticsFilter, Depends(_statistics)]
SettlementFilters = Annotated[SettlementFilter, Depends(_settlements)]
ChangeFilters = Annotated[ChangeFilter, Depends(_changes)]
