"""Long lists as one answer, line by line."""

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TypeVar

from pydantic import BaseModel

Item = TypeVar("Item", bound=BaseModel)

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins so for a formula, and its text may be anybody's."""


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
