"""Keyset pagination and optional conditions of list queries."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Position:
    """The last row of a page, newest first: the next page begins after it."""

    moment: datetime
    row_id: str


class Conditions:
    """The WHERE clause of a list. Holds only the filters that are given: a generic plan can use an index for each of them."""

    def __init__(self) -> None:
        self.values: list[object] = []
        """the values of the parameters $1, $2, …"""
        self._conditions: list[str] = []

    def add(self, condition: str, *values: object) -> None:
        """Adds SQL in which each `{}` stands for one of the values."""
        first = len(self.values) + 1
        self._conditions.append(condition.format(*(f"${number}" for number in range(first, first + len(values)))))
        self.values += values

    def equal(self, expression: str, value: object) -> None:
        if value is not None:
            self.add(f"{expression} = {{}}", value)

    def below(self, column: str, value: object) -> None:
        if value is not None:
            self.add(f"{column} < {{}}", value)

    def at_least(self, column: str, value: object) -> None:
        if value is not None:
            self.add(f"{column} >= {{}}", value)

    def after(self, columns: str, position: Position | None) -> None:
        if position is not None:
            self.add(f"({columns}) < ({{}}, {{}})", position.moment, position.row_id)

    def __str__(self) -> str:
        return " AND ".join(self._conditions) or "true"
