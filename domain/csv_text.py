"""Lists as CSV, for people who open it in a spreadsheet."""

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence

from pydantic import BaseModel

BYTE_ORDER_MARK = "\ufeff"
"""tells Excel that the text is UTF-8"""
ROWS_AT_ONCE = 200
"""rows that are read, and written as text, before others have their turn"""
FORMULA = re.compile(r"(?!-[0-9]+(\.[0-9]+)?$)[=+\-@\t\r]")
"""A spreadsheet takes a cell that begins so for a formula, and its text may be anybody's. A negative number is none."""


def csv_header(kind: type[BaseModel]) -> str:
    """Returns the line with the names of the fields."""
    return _lines([list(kind.model_fields)])


def csv_lines(items: Iterable[BaseModel]) -> str:
    """Returns a line for each item; what is no text is JSON."""
    return _lines([_cell(value) for value in item.model_dump(mode="json").values()] for item in items)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return f"'{value}" if FORMULA.match(value) else value
        case _:
            return json.dumps(value, ensure_ascii=False)


def _lines(rows: Iterable[Sequence[str]]) -> str:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue()
