"""Lists as CSV files that browsers save."""

from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from api.http.exports import csv_lines
from api.http.protocol import ENDLESS

ItemT = TypeVar("ItemT", bound=BaseModel)


async def one_slice(rows: Sequence[ItemT]) -> AsyncIterator[Sequence[ItemT]]:
    yield rows


def csv_file(request: Request, name: str, kind: type[ItemT], slices: AsyncIterator[Sequence[ItemT]]) -> StreamingResponse:
    """Returns an answer that browsers save as a file. A stopping server breaks it off, which a browser says."""
    request.scope[ENDLESS] = True
    disposition = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return StreamingResponse(csv_lines(kind, slices), media_type="text/csv; charset=utf-8", headers=disposition)
