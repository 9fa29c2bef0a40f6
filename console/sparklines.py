"""Small lines beside a name: how a figure of a mall went over the last days."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from domain.schemas.statistics import DayStatistics

WIDTH, HEIGHT = 120, 24


@dataclass(frozen=True, slots=True)
class MallCallbacks:
    """How the callbacks of a mall went, by day and in all."""

    source: str
    attempts: int
    failed: float
    """share of the attempts"""
    dead: int
    seconds: float | None
    """nine of ten of the last day's events were delivered within"""
    failure_line: str
    seconds_line: str
    """points of a line"""


def mall_callbacks(days: Sequence[DayStatistics]) -> list[MallCallbacks]:
    """Returns what a page shows of each mall; `days` are sorted by mall, each one's oldest first."""
    return [_mall(source or "", list(of_mall)) for source, of_mall in groupby(days, lambda day: day.source)]


def _mall(source: str, days: list[DayStatistics]) -> MallCallbacks:
    attempts = sum(day.callback_attempts for day in days)
    delivered = sum(day.callbacks_delivered for day in days)
    seconds = [day.callback_seconds_p90 for day in days]
    return MallCallbacks(
        source=source,
        attempts=attempts,
        failed=_failed(attempts, delivered) or 0.0,
        dead=sum(day.callbacks_dead for day in days),
        seconds=next((each for each in reversed(seconds) if each is not None), None),
        failure_line=points([_failed(day.callback_attempts, day.callbacks_delivered) for day in days], most=1.0),
        seconds_line=points(seconds),
    )


def _failed(attempts: int, delivered: int) -> float | None:
    # An event that was sent again may be delivered by attempts that are counted no more.
    return max(attempts - delivered, 0) / attempts if attempts else None


def points(values: Sequence[float | None], most: float | None = None) -> str:
    """Returns the points of a line through the values that there are, from 0 to `most`, or to the largest of them."""
    top = most or max((value for value in values if value is not None), default=0) or 1
    step = WIDTH / max(len(values) - 1, 1)
    return " ".join(
        f"{number * step:.1f},{HEIGHT - 1 - (HEIGHT - 2) * value / top:.1f}"
        for number, value in enumerate(values)
        if value is not None
    )
