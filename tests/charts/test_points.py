import pytest
from charts.drawings import circles, parsed

from pipeline.charts.points import Mark, PointChart, draw_points


def test_points_keep_their_proportions() -> None:
    marks = [Mark(0.0, 0.0, "red"), Mark(1.0, 2.0, "red"), Mark(3.0, 1.0, "red")]
    (ax, ay), (bx, by), (cx, cy) = circles(draw_points(PointChart("x", "y", marks)))
    assert (cx - ax) / (bx - ax) == pytest.approx(3.0, abs=0.01)
    assert (by - ay) / (cy - ay) == pytest.approx(2.0, abs=0.01)
    assert by < ay < 420 and ax < bx < 760


def test_error_bars_end_where_the_interval_ends() -> None:
    svg = draw_points(PointChart("x", "y", [Mark(1.0, 1.0, "red", x_error=0.5), Mark(1.5, 1.0, "red"), Mark(0.5, 1.0, "red")]))
    bar = next(line for line in parsed(svg).iter("line") if line.attrib["class"] == "error")
    (_, (right, _), (left, _)) = circles(svg)
    assert (float(bar.attrib["x1"]), float(bar.attrib["x2"])) == (left, right)


def test_labels_of_near_points_do_not_cover_each_other() -> None:
    near = [Mark(1.0 + 0.01 * i, 1.0 + 0.01 * (i % 2), "red", label=f"setting {i}") for i in range(5)]
    svg = draw_points(PointChart("x", "y", [Mark(-3.0, -3.0, "red"), *near, Mark(5.0, 5.0, "red")]))
    texts = [text for text in parsed(svg).iter("text") if text.attrib["class"] == "mark"]
    places = [(float(text.attrib["x"]), float(text.attrib["y"])) for text in texts]
    assert len(places) == 5
    for i, (x, y) in enumerate(places):
        assert all(abs(x - u) > 50 or abs(y - v) > 12 for u, v in places[i + 1 :])
