"""Line charts as SVG, for documentation: what is plotted is written into the picture, with its conditions."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 64, 190, 44, 74
COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#7b4b94", "#b08900", "#555555")
TICKS = 5
STYLE = (
    "<style>text{font:12px system-ui,sans-serif;fill:#333}.title{font-size:15px;font-weight:600}.note{font-size:11px;fill:#666}"
    ".grid{stroke:#ddd}.axis{stroke:#888}.line{fill:none;stroke-width:2}</style>"
)

Point = tuple[float, float]
Scale = Callable[[float], float]


@dataclass(frozen=True)
class Series:
    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Chart:
    title: str
    x: str
    y: str
    series: Sequence[Series]
    conditions: str
    is_log: bool = False
    """of the vertical axis"""


def svg(chart: Chart) -> str:
    """Returns the picture. A value that is no number, and on a logarithmic axis one that is not positive, is left out."""
    series = [Series(each.name, [point for point in each.points if _is_shown(point, chart)]) for each in chart.series]
    points = [point for each in series for point in each.points]
    x_ticks = linear_ticks(0, max((x for x, _ in points), default=1))
    largest = max((y for _, y in points), default=1)
    y_ticks = log_ticks(min((y for _, y in points), default=1), largest) if chart.is_log else linear_ticks(0, largest)
    x = _scale(x_ticks, LEFT, WIDTH - RIGHT)
    y = _scale(y_ticks, HEIGHT - BOTTOM, TOP, is_log=chart.is_log)
    middle = f"translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(chart.title)}</title>",
        STYLE,
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _text(LEFT, 24, chart.title, "title"),
        *(_grid_line(LEFT, y(tick), WIDTH - RIGHT, y(tick)) for tick in y_ticks),
        *(_text(LEFT - 8, y(tick) + 4, number(tick), anchor="end") for tick in y_ticks),
        *(_text(x(tick), HEIGHT - BOTTOM + 18, number(tick), anchor="middle") for tick in x_ticks),
        f'<path class="axis" fill="none" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>',
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 38, chart.x, anchor="middle"),
        f'<text transform="{middle}" text-anchor="middle">{escape(chart.y)}</text>',
        *(_line(each, COLOURS[index % len(COLOURS)], x, y) for index, each in enumerate(series)),
        *(_legend(each.name, index) for index, each in enumerate(series)),
        _text(LEFT, HEIGHT - 10, chart.conditions, "note"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def linear_ticks(low: float, high: float) -> list[float]:
    """Returns round numbers from `low` on, the last one not below `high`."""
    rough = max(high - low, 1e-9) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))
    return [low + step * count for count in range(math.ceil((high - low) / step - 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Returns powers of ten that enclose both."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**exponent for exponent in range(first, max(last, first + 1) + 1)]


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:g}"


def _is_shown(point: Point, chart: Chart) -> bool:
    return math.isfinite(point[1]) and (point[1] > 0 or not chart.is_log)


def _scale(ticks: Sequence[float], begin: float, end: float, *, is_log: bool = False) -> Scale:
    convert: Scale = math.log10 if is_log else float
    first, last = convert(ticks[0]), convert(ticks[-1])
    return lambda value: round(begin + (convert(value) - first) / (last - first) * (end - begin), 1)


def _line(series: Series, colour: str, x: Scale, y: Scale) -> str:
    path = "L".join(f"{x(at)} {y(value)}" for at, value in series.points)
    dots = "".join(f'<circle cx="{x(at)}" cy="{y(value)}" r="3" fill="{colour}"/>' for at, value in series.points)
    return f'<path class="line" stroke="{colour}" d="M{path}"/>{dots}' if series.points else ""


def _legend(name: str, index: int) -> str:
    top, left = TOP + 8 + index * 20, WIDTH - RIGHT + 16
    colour = COLOURS[index % len(COLOURS)]
    return f'<rect x="{left}" y="{top - 9}" width="14" height="4" fill="{colour}"/>' + _text(left + 20, top - 3, name)


def _grid_line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    name = f' class="{kind}"' if kind else ""
    return f'<text{name} x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
