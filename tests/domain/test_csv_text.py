"""Lists as CSV: cells that a spreadsheet shows as they are."""

import pytest

from domain.csv_text import csv_header, csv_lines
from domain.types import Schema


class Item(Schema):
    name: str | None
    value: dict[str, str] | bool | int


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        *[("=1", "'=1"), ("-1+2", "'-1+2"), ("@SUM(1)", "'@SUM(1)"), ("\t=1", "'\t=1"), ("--1", "'--1")],
        *[("a=1", "a=1"), ("-1", "-1"), ("-4.00", "-4.00"), ("", ""), (None, ""), ("a,b", '"a,b"')],
    ],
)
def test_a_cell_never_begins_a_formula(text: str | None, cell: str) -> None:
    assert csv_lines([Item(name=text, value=1)]) == f"{cell},1\r\n"


def test_what_is_no_text_is_json() -> None:
    assert csv_header(Item) == "name,value\r\n"
    assert csv_lines([Item(name="x", value={"a": "茶"}), Item(name="y", value=True)]) == 'x,"{""a"": ""茶""}"\r\ny,true\r\n'
