"""Lists in pages, newest first, with a cursor that survives new rows."""

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

_MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)
_ROW_ID: TypeAdapter[str] = TypeAdapter(Identifier)


class Page(BaseModel, Generic[Item]):
    data: list[Item]
    next_cursor: str | None


_FOREIGN = "cursor: take it from next_cursor of the page before."


def position(cursor: str | None) -> Position | None:
    """Where a cursor points.

    Raises:
        Refusal: invalid_request, when it is none of ours.
    """
    if cursor is None:
        return None
    try:
        moment, _, row_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        return Position(_MOMENT.validate_python(moment), _ROW_ID.validate_python(row_id))
    except (binascii.Error, UnicodeError, ValidationError):
        raise Refusal(ErrorCode.INVALID_REQUEST, _FOREIGN) from None


def campaign_id_of(found: Position) -> int:
    """The campaign that a position of the campaigns' list names.

    Raises:
        Refusal: invalid_request, when it is of another list.
    """
    return number_of(found, MAX_CAMPAIGN_ID)


def number_of(found: Position, at_most: int = 2**63 - 1) -> int:
    """The number that a position of a list of numbered rows names.

    Raises:
        Refusal: invalid_request, when it is of another list.
    """
    if not found.row_id.isascii() or not found.row_id.isdecimal() or int(found.row_id) > at_most:
        raise Refusal(ErrorCode.INVALID_REQUEST, _FOREIGN)
    return int(found.row_id)


_CALLBACK = re.compile(r"[0-9]{1,18}\.[0-9a-f]{32}")


def callback_position(cursor: str | None) -> Position | None:
    """Where a cursor points in the list of callbacks.

    Raises:
        Refusal: invalid_request, when it is of another list, or none of ours.
    """
    found = position(cursor)
    if found is not None and not _CALLBACK.fullmatch(found.row_id):
        raise Refusal(ErrorCode.INVALID_REQUEST, _FOREIGN)
    return found


def page(rows: Sequence[Item], limit: int, key: Callable[[Item], tuple[datetime, str]]) -> Page[Item]:
    """A page of at most `limit` of these rows; they were read with one more, to know whether there is a next page."""
    shown = list(rows[:limit])
    if len(rows) <= limit:
        return Page(data=shown, next_cursor=None)
    moment, row_id = key(shown[-1])
    return Page(data=shown, next_cursor=base64.urlsafe_b64encode(f"{rfc3339(moment)} {row_id}".encode()).decode())
