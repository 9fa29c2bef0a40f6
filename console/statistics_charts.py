"""Statistics as charts: which figures are drawn together, and as what."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time
from typing import NamedTuple

from domain.schemas.statistics import DayStatistics


class Line(NamedTuple):
    field: str
    text: str
    color: str
    """a colour of the style sheet"""


class Chart(NamedTuple):
    text: str
    lines: tuple[Line, ...]
    unit: str = ""


CHARTS = (
    Chart("Prices that buyers asked for", (Line("quotes", "quotes", "accent"),)),
    Chart(
        "Teams, by the day they were opened",
        (
            Line("teams_opened", "opened", "soft"),
            Line("teams_completed", "completed", "good"),
            Line("teams_failed", "failed", "bad"),
        ),
    ),
    Chart(
        "Seats, by the day they were taken",
        (
            Line("seats_locked", "taken", "soft"),
            Line("seats_paid", "paid", "busy"),
            Line("seats_completed", "in a completed team", "good"),
            Line("seats_lapsed", "cancelled unpaid", "bad"),
        ),
    ),
    Chart(
        "Money",
        (
            Line("amount_paid", "paid by buyers", "good"),
            Line("discount", "discount given", "busy"),
            Line("amount_refunded", "refunded", "bad"),
        ),
        "¥",
    ),
    Chart(
        "Refunds, by kind",
        (
            Line("refunds_unpaid", "unpaid", "soft"),
            Line("refunds_paid_unformed", "paid unformed", "busy"),
            Line("refunds_paid_formed", "paid formed", "bad"),
            Line("refunds_unsettled", "unsettled", "accent"),
        ),
    ),
    Chart(
        "Minutes from opening to completion",
        (Line("form_minutes_median", "median", "good"), Line("form_minutes_p90", "nine of ten within", "busy")),
    ),
    Chart(
        "Seconds from event to delivery",
        (Line("callback_seconds_median", "median", "good"), Line("callback_seconds_p90", "nine of ten within", "busy")),
    ),
)


FUNNEL = ("quotes", "seats_locked", "seats_paid", "seats_completed")
"""what becomes of the prices that buyers asked for"""
TEXTS = {line.field: line.text for chart in CHARTS for line in chart.lines}


class Stage(NamedTuple):
    text: str
    seats: int
    percent: float | None
    """of the stage before; None: of nothing"""


def funnel(days: Sequence[DayStatistics]) -> list[Stage]:
    """Returns how many of the days' quotes became seats, were paid, and came into a completed team."""
    counts = [sum(getattr(day, field) for day in days) for field in FUNNEL]
    return [
        Stage(TEXTS[field], count, 100 * count / before if before else None)
        for field, count, before in zip(FUNNEL, counts, (0, *counts), strict=False)
    ]


def chart_data(chart: Chart, days: Sequence[DayStatistics], translate: Callable[[str], str]) -> str:
    """Returns what the script draws, as JSON: the days as seconds since 1970, and the values of each line."""
    oldest_first = list(reversed(days))
    return json.dumps(
        {
            "days": [datetime.combine(day.day, time(), UTC).timestamp() for day in oldest_first],
            "day": translate("Day"),
            "unit": chart.unit,
            "series": [
                {
                    "label": translate(line.text),
                    "color": line.color,
                    "values": [_value(day, line.field) for day in oldest_first],
                }
                for line in chart.lines
            ],
        },
        ensure_ascii=False,
    )


def _value(day: DayStatistics, field: str) -> float | None:
    if field.startswith("form_minutes"):
        seconds: float | None = getattr(day, field.replace("minutes", "seconds"))
        return None if seconds is None else seconds / 60
    value = getattr(day, field)
    return None if value is None else float(value)
