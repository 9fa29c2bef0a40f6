"""Filters with times, as browsers send them: without a zone, and in UTC (static/console.js)."""

from typing import Annotated

from fastapi import Depends
from pydantic import BeforeValidator

from api.http.filters import Subject
from db.settings.audit import ChangeFilter
from domain.types import Moment, Name


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


ChangeFilters = Annotated[ChangeFilter, Depends(_changes)]
