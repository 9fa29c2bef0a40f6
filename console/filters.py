"""Filters of the console's lists that browsers send otherwise than the API takes them, or that the API has not.

A browser sends times without a zone, in UTC (static/console.js).
"""

from typing import Annotated

from fastapi import Depends
from pydantic import BeforeValidator

from api.http.filters import Subject
from db.callbacks.deliveries import DeliveryStatus
from db.callbacks.queries import CallbackFilter
from db.campaigns.goods import GoodsFilter
from db.settings.audit import ChangeFilter
from domain.schemas.events import EventType
from domain.types import Identifier, Moment, Name, Source


def _in_utc(text: object) -> object:
    return text if not isinstance(text, str) or text.endswith("Z") else f"{text}:00Z" if text.count(":") == 1 else f"{text}Z"


BrowserMoment = Annotated[Moment, BeforeValidator(_in_utc)]


async def _changes(
    subject: Subject | None = None,
    changed_by: Name | None = None,
    since: BrowserMoment | None = None,
    until: BrowserMoment | None = None,
) -> ChangeFilter:
    return ChangeFilter(subject=subject, changed_by=changed_by, since=since, until=until)


async def _callbacks(
    status: DeliveryStatus | None = None,
    source: Identifier | None = None,
    type: EventType | None = None,  # noqa: A002 - the name of the query's parameter
    event_id: Identifier | None = None,
    since: BrowserMoment | None = None,
    until: BrowserMoment | None = None,
) -> CallbackFilter:
    return CallbackFilter(status=status, source=source, type=type, event_id=event_id, since=since, until=until)


async def _goods(goods_id: Identifier | None = None, source: Source | None = None) -> GoodsFilter:
    return GoodsFilter(goods_id=goods_id, source=source)


ChangeFilters = Annotated[ChangeFilter, Depends(_changes)]
CallbackFilters = Annotated[CallbackFilter, Depends(_callbacks)]
GoodsFilters = Annotated[GoodsFilter, Depends(_goods)]
