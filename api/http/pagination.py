"""Pages of lists, newest first, with a cursor that stays valid when rows are added."""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, TypeAdapter, ValidationError

from db.core.pagination import Position
from domain.errors import ErrorCode, Refusal
from domain.types import MAX_CAMPAIGN_ID, Identifier, Moment, rfc3339

Item = TypeVar("Item", bound=BaseModel)

Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[str | None, Query(max_length=200)]
EntryNumber = Annotated[int | None, Query(ge=1, lt=2**63)]
"""of a timeline: the page shows what is older"""

_MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)
_ROW_ID: TypeAdapter[str] = TypeAdapter(Identifier)
_INVALID = "cursor: use next_cursor of the previous page."


class Page(BaseModel, Generic[Item]):
    data: list[Item]
    next_cursor: str | None


def position(cursor: str | None) -> Position | None:
    """Returns the row after which a page begins; None for the first page.

    Raises:
        Refusal: invalid_request, for a cursor that the API has not made.
    """
    if cursor is None:
        return None
    try:
        moment, _, row_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        return Position(_MOMENT.validate_python(moment), _ROW_ID.validate_python(row_id))
    except (binascii.Error, UnicodeError, ValidationError):
        raise Refusal(ErrorCode.INVALID_REQUEST, _INVALID) from None


def number_position(cursor: str | None, maximum: int = 2**63 - 1) -> int | None:
    """As `position`, for a list whose rows are numbered: returns the row's number.

    Raises:
        Refusal: invalid_request, also for another list's cursor.
    """
    found = position(cursor)
    if found is None:
        return None
    if not found.row_id.isascii() or not found.row_id.isdecimal() or int(found.row_id) > maximum:
        raise Refusal(ErrorCode.INVALID_REQUEST, _INVALID)
    return int(found.row_id)


def campaign_position(cursor: str | None) -> int | None:
    """As `number_position`, for lists of campaigns and their versions."""
    return number_position(cursor, MAX_CAMPAIGN_ID)


_CALLBACK = re.compile(r"[0-9]{1,18}\.[0-9a-f]{32}")


def callback_position(cursor: str | None) -> Position | None:
    """As `position`, for the list of callbacks.

    Raises:
        Refusal: invalid_request, also for another list's cursor.
    """
    found = position(cursor)
    if found is not None and not _CALLBACK.fullmatch(found.row_id):
        raise Refusal(ErrorCode.INVALID_REQUEST, _INVALID)
    return found


def page(rows: Sequence[Item], limit: int, key: Callable[[Item], tuple[datetime, str]]) -> Page[Item]:
    """Returns a page of at most `limit` rows. `rows` has one more where there is a next page, whose cursor `key` gives."""
    shown = list(rows[:limit])
    if len(rows) <= limit:
        return Page(data=shown, next_cursor=None)
    moment, row_id = key(shown[-1])
    return Page(data=shown, next_cursor=base64.urlsafe_b64encode(f"{rfc3339(moment)} {row_id}".encode()).decode())
