import json
import math
import xml.etree.ElementTree as ET

import pytest

from pipeline.charts.lines import Intervals, LineChart, Series, draw_lines
from pipeline.charts.svg import nice_ticks


def drawn(chart: LineChart) -> ET.Element:
    return ET.fromstring(str(draw_lines(chart)))


def points(element: ET.Element) -> list[list[tuple[float, float]]]:
    lines = [line.get("points", "") for line in element.iter("polyline")]
    return [[tuple(map(float, pair.split(","))) for pair in line.split()] for line in lines]  # type: ignore[misc]


def test_larger_values_stand_higher_and_further_right() -> None:
    (line,) = points(drawn(LineChart("k", [Series("FID", [(1, 10.0), (2, 30.0), (3, 20.0)], "red")])))
    assert [x for x, _ in line] == sorted(x for x, _ in line)
    assert line[1][1] < line[2][1] < line[0][1]


def test_each_decade_of_a_log_axis_has_the_same_height() -> None:
    (line,) = points(drawn(LineChart("f", [Series("power", [(0, 1.0), (1, 0.1), (2, 0.01), (3, 0.0)], "red")], log=True)))
    assert len(line) == 3
    assert line[1][1] - line[0][1] == pytest.approx(line[2][1] - line[1][1], abs=0.11)


def test_missing_values_are_left_out() -> None:
    (line,) = points(drawn(LineChart("k", [Series("rate", [(1, None), (2, 3.0), (3, float("nan")), (4, 5.0)], "red")])))
    assert len(line) == 2


@pytest.mark.parametrize("series", [[], [Series("empty", [], "red")]])
def test_nothing_to_draw_says_so(series: list[Series]) -> None:
    assert "Nothing was recorded" in draw_lines(LineChart("k", series))


def test_a_band_reaches_from_its_lower_to_its_upper_end_and_widens_the_axis() -> None:
    line = Series("S", [(0, 1.0), (1, 1.0)], "red")
    element = drawn(LineChart("k", [line], bands=[Intervals([(0, 1.0, 1.0), (1, 0.0, 3.0)], "red")]))
    (band,) = element.iter("polygon")
    corners = [tuple(map(float, pair.split(","))) for pair in band.get("points", "").split()]
    (_, start), (right, low), (same_right, high), (_, end) = corners
    assert start == end and right == same_right
    assert low - start == pytest.approx((start - high) / 2, abs=0.11)
    assert high >= 10


def test_error_bars_reach_from_low_to_high_and_widen_the_axis() -> None:
    marks = Series("S", [(0, 1.0), (1, 2.0)], "red", markers=True, line=False)
    element = drawn(LineChart("k", [marks], errors=[Intervals([(0, 0.5, 1.5), (1, 1.5, 2.5)], "red")]))
    assert not points(element)
    bars = [bar for bar in element.iter("line") if bar.get("class") == "error"]
    ends = [(float(bar.get("y1", "")), float(bar.get("y2", ""))) for bar in bars]
    centres = [float(circle.get("cy", "")) for circle in element.iter("circle")]
    assert [(low + high) / 2 for low, high in ends] == pytest.approx(centres, abs=0.11)
    assert all(10 <= high < low <= 185 for low, high in ends)


def test_the_y_axis_has_its_title_beside_the_numbers() -> None:
    element = drawn(LineChart("k", [Series("S", [(0, 1.0), (1, 2.0)], "red")], y_label="power"))
    (title,) = (text for text in element.iter("text") if text.text == "power")
    assert "rotate(-90" in title.get("transform", "")
    assert float(title.get("x", "")) + 6 < min(
        float(text.get("x", "")) for text in element.iter("text") if text.get("class") == "y"
    )


def test_a_faint_line_is_drawn_but_not_read_out() -> None:
    series = [Series("model", [(0, 1.0), (1, 2.0)], "red", faint=True), Series("data", [(0, 1.5), (1, 2.5)], "red")]
    element = drawn(LineChart("k", series))
    assert len(points(element)) == 2
    assert [line["name"] for line in json.loads(element.get("data-chart", ""))["series"]] == ["data"]


@pytest.mark.parametrize("y", [0.0, 5.0, -3e-7, 2.5e9])
def test_a_single_point_is_drawn_as_a_dot_inside_the_frame(y: float) -> None:
    element = drawn(LineChart("k", [Series("FID", [(1, y)], "red")], whole_x=True))
    (circle,) = element.iter("circle")
    assert 0 < float(circle.get("cx", "")) < 360
    assert 0 < float(circle.get("cy", "")) < 225


def test_the_read_out_holds_the_values() -> None:
    element = drawn(LineChart("k", [Series("FID", [(1, 10.0), (2, 31.25)], "var(--k1)")]))
    assert json.loads(element.get("data-chart", ""))["series"][0]["points"] == [[1.0, 10.0], [2.0, 31.25]]


def test_names_are_never_markup() -> None:
    text = str(draw_lines(LineChart("<b>k</b>", [Series('"><script>', [(1, 1.0)], "red")])))
    assert "<script>" not in text and "<b>" not in text


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (3.2, 911.0), (-6.0, 6.0), (0.02, 0.021), (99.0, 339.0)])
def test_ticks_are_round_and_enclose_the_values(low: float, high: float) -> None:
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low and ticks[-1] >= high
    assert 3 <= len(ticks) <= 9
    step = ticks[1] - ticks[0]
    assert round(step / 10 ** math.floor(math.log10(step)), 6) in (1, 2, 2.5, 5)


def test_iterations_have_whole_ticks() -> None:
    assert nice_ticks(0, 3, 7, whole=True) == [0, 1, 2, 3]
