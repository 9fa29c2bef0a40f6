"""Keyset pagination and optional conditions of list queries."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Position:
    """Where a list newest first goes on: after the row with this moment and id."""

    moment: datetime
    row_id: str


class Conditions:
    """The WHERE of a list: only the filters that were given, so that the one plan that is kept can use their indexes."""

    def __init__(self) -> None:
        self.values: list[object] = []
        self._conditions: list[str] = []

    def equal(self, expression: str, value: object) -> None:
        if value is not None:
            self.values.append(value)
            self._conditions.append(f"{expression} = ${len(self.values)}")

    def after(self, columns: str, position: Position | None) -> None:
        if position is not None:
            self.values += [position.moment, position.row_id]
            self._conditions.append(f"({columns}) < (${len(self.values) - 1}, ${len(self.values)})")

    def below(self, column: str, value: int | None) -> None:
        if value is not None:
            self.values.append(value)
            self._conditions.append(f"{column} < ${len(self.values)}")

    def __str__(self) -> str:
        return " AND ".join(self._conditions) or "true"
