"""The bench's charts: round numbers on the axes, every point where it belongs, and nothing that is no number."""

import math
import xml.etree.ElementTree as ET

import pytest

from bench.plot import Chart, Series, linear_ticks, log_ticks, svg


@pytest.mark.parametrize(
    ("high", "ticks"), [(1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (230, [0, 50, 100, 150, 200, 250]), (5, [0, 1, 2, 3, 4, 5])]
)
def test_linear_axes_have_round_numbers(high: float, ticks: list[float]) -> None:
    assert linear_ticks(0, high) == pytest.approx(ticks)


def test_logarithmic_axes_enclose_everything() -> None:
    assert log_ticks(3, 450) == [1, 10, 100, 1000]
    assert log_ticks(10, 10) == [10, 100]


def test_points_are_drawn_from_left_below_to_right_above() -> None:
    chart = Chart(
        "Cost <of> teams", "teams", "ms", [Series("p50", [(0, 1), (10, 10), (20, math.nan), (40, 100)])], "2 cores", is_log=True
    )
    picture = ET.fromstring(svg(chart))  # noqa: S314 - our own
    circles = picture.findall("{*}circle")
    xs, ys = ([float(circle.attrib[name]) for circle in circles] for name in ("cx", "cy"))
    assert len(circles) == 3
    assert (xs, ys) == (sorted(xs), sorted(ys, reverse=True))
    assert ys[0] - ys[1] == pytest.approx(ys[1] - ys[2])
    texts = [text.text for text in picture.findall("{*}text")]
    assert {"Cost <of> teams", "teams", "ms", "p50", "2 cores"} <= set(texts)
