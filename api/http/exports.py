"""Long lists as one answer, line by line: read slice by slice, and never held as a whole."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel
from starlette.responses import StreamingResponse

import domain.csv_text
from db.core.pagination import Position

Item = TypeVar("Item", bound=BaseModel)

CSV = "text/csv; charset=utf-8"


async def all_rows(
    read: Callable[[Position | None, int], Awaitable[Sequence[Item]]], key: Callable[[Item], tuple[datetime, str]]
) -> AsyncIterator[Sequence[Item]]:
    """Returns all rows of a list in slices; `read` gets the position of the last row, and `key` gives it."""
    after: Position | None = None
    while rows := await read(after, domain.csv_text.ROWS_AT_ONCE):
        yield rows
        if len(rows) < domain.csv_text.ROWS_AT_ONCE:
            return
        after = Position(*key(rows[-1]))


async def one_slice(rows: Sequence[Item]) -> AsyncIterator[Sequence[Item]]:
    yield rows


def file_answer(name: str, parts: AsyncIterator[str] | AsyncIterator[bytes], media_type: str = CSV) -> StreamingResponse:
    """Returns an answer that browsers save as a file of this name."""
    return StreamingResponse(parts, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})


async def json_lines(slices: AsyncIterator[Sequence[Item]]) -> AsyncIterator[str]:
    async for items in slices:
        yield "".join(f"{item.model_dump_json()}\n" for item in items)


async def csv_lines(kind: type[Item], slices: AsyncIterator[Sequence[Item]]) -> AsyncIterator[str]:
    """A header with the names of the fields, then a line for each item, with what tells Excel that it is UTF-8."""
    yield domain.csv_text.BYTE_ORDER_MARK + domain.csv_text.csv_header(kind)
    async for items in slices:
        yield domain.csv_text.csv_lines(items)
