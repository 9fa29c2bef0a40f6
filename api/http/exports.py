"""Long lists as one answer, line by line: read slice by slice, and never held as a whole."""

import csv
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel

from db.core.pagination import Position

Item = TypeVar("Item", bound=BaseModel)

SLICE = 200
"""rows that are read, and written as text, before other requests have their turn"""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins so for a formula, and its text may be anybody's."""


async def all_rows(
    read: Callable[[Position | None, int], Awaitable[Sequence[Item]]], key: Callable[[Item], tuple[datetime, str]]
) -> AsyncIterator[Sequence[Item]]:
    """Returns all rows of a list in slices; `read` gets the position of the last row, and `key` gives it."""
    after: Position | None = None
    while rows := await read(after, SLICE):
        yield rows
        if len(rows) < SLICE:
            return
        after = Position(*key(rows[-1]))


async def json_lines(slices: AsyncIterator[Sequence[Item]]) -> AsyncIterator[str]:
    async for items in slices:
        yield "".join(f"{item.model_dump_json()}\n" for item in items)


async def csv_lines(kind: type[Item], slices: AsyncIterator[Sequence[Item]]) -> AsyncIterator[str]:
    """A header with the names of the fields, then a line for each item; what is no text is JSON."""
    yield _lines([list(kind.model_fields)])
    async for items in slices:
        yield _lines([_cell(value) for value in item.model_dump(mode="json").values()] for item in items)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return f"'{value}" if value.startswith(FORMULA) else value
        case _:
            return json.dumps(value, ensure_ascii=False)


def _lines(rows: Iterable[Sequence[str]]) -> str:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue()
