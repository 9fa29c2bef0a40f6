"""Exports: every row once, whatever the number of slices."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from api.http.exports import all_rows
from db.core.pagination import Position
from domain.csv_text import ROWS_AT_ONCE
from domain.types import Moment, Schema

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


class Row(Schema):
    at: Moment
    name: str


@pytest.mark.parametrize("count", [0, 1, ROWS_AT_ONCE - 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1, 3 * ROWS_AT_ONCE])
async def test_every_row_is_there_once(count: int) -> None:
    rows = [Row(at=BEGIN - timedelta(seconds=n), name=str(n)) for n in range(count)]

    async def read(after: Position | None, limit: int) -> Sequence[Row]:
        first = 0 if after is None else int(after.row_id) + 1
        return rows[first : first + limit]

    found = [row async for rows in all_rows(read, lambda row: (row.at, row.name)) for row in rows]
    assert found == rows
