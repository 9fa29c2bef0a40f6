"""Lists as CSV files that browsers save."""

from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from api.http.exports import csv_lines, file_answer
from api.http.protocol import ENDLESS

ItemT = TypeVar("ItemT", bound=BaseModel)


def csv_file(request: Request, name: str, kind: type[ItemT], slices: AsyncIterator[Sequence[ItemT]]) -> StreamingResponse:
    """Returns an answer that browsers save as a file. A stopping server breaks it off, which a browser says."""
    request.scope[ENDLESS] = True
    return file_answer(f"{name}.csv", csv_lines(kind, slices))
