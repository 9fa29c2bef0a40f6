"""Lists as CSV files: all rows that fit the filters, read slice by slice and never held as a whole."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from api.http.exports import csv_lines
from api.http.protocol import ENDLESS
from db.core.pagination import Position

ItemT = TypeVar("ItemT", bound=BaseModel)

SLICE = 200
"""rows that are read, and written as text, before other requests have their turn"""
BYTE_ORDER_MARK = "\ufeff"
"""tells Excel that the text is UTF-8"""


async def all_rows(
    read: Callable[[Position | None, int], Awaitable[Sequence[ItemT]]], key: Callable[[ItemT], tuple[datetime, str]]
) -> AsyncIterator[Sequence[ItemT]]:
    """Returns all rows of a list in slices; `read` gets the position of the last row, and `key` gives it."""
    after: Position | None = None
    while rows := await read(after, SLICE):
        yield rows
        if len(rows) < SLICE:
            return
        after = Position(*key(rows[-1]))


async def one_slice(rows: Sequence[ItemT]) -> AsyncIterator[Sequence[ItemT]]:
    yield rows


def csv_file(request: Request, name: str, kind: type[ItemT], slices: AsyncIterator[Sequence[ItemT]]) -> StreamingResponse:
    """Returns an answer that browsers save as a file. A stopping server breaks it off, which a browser says."""
    request.scope[ENDLESS] = True

    async def lines() -> AsyncIterator[str]:
        yield BYTE_ORDER_MARK
        async for text in csv_lines(kind, slices):
            yield text

    disposition = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=disposition)
