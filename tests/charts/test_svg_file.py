import re
import xml.etree.ElementTree as ElementTree

from markupsafe import Markup

from pipeline.charts.lines import Intervals, LineChart, Series, draw_lines
from pipeline.charts.points import Mark, PointChart, draw_points
from pipeline.charts.svg_file import panels, standalone

SVG = "{http://www.w3.org/2000/svg}"


def _panel(colour: str = "#c9403b", name: str = "a") -> Markup:
    series = [Series(name, [(1, 1.0), (2, 3.0)], colour), Series("b", [(1, 2.0)], "var(--ink)", markers=True, hollow=True)]
    return draw_lines(LineChart("k", series, errors=[Intervals([(1, 0.5, 1.5)], colour)], y_label="y"))


def test_a_drawing_on_its_own_is_whole_xml_that_defines_its_colours() -> None:
    marks = [Mark(1.0, 2.0, "var(--s0)"), Mark(2.0, 3.0, "var(--s1)")]
    text = standalone(draw_points(PointChart("x", "y", marks)), 2)
    assert ElementTree.fromstring(text).tag == f"{SVG}svg"
    assert all(f"{name}:" in text for name in set(re.findall(r"var\((--\w+)\)", text)) - {"--c"})


def test_panels_stand_side_by_side_below_their_key_and_do_not_overlap() -> None:
    key = [Series("a", [], "#c9403b"), Series("<b>", [], "#4a5fb0", markers=True)]
    root = ElementTree.fromstring(panels([("one", _panel()), ("two", _panel()), ("three", _panel())], 2, key))
    places = [(int(svg.attrib["x"]), int(svg.attrib["y"])) for svg in root.iter(f"{SVG}svg") if "x" in svg.attrib]
    assert (root.attrib["width"], [x for x, _ in places]) == ("720", [0, 360, 0])
    assert places[0][1] == places[1][1] and places[2][1] >= places[0][1] + 225
    texts = {text.text: float(text.attrib["y"]) for text in root.iter(f"{SVG}text")}
    assert texts["<b>"] < texts["one"] < places[0][1]
    assert int(root.attrib["height"]) >= places[2][1] + 225


def test_panels_need_no_browser() -> None:
    text = panels([("one", _panel())], 1, [Series("a", [], "#c9403b")])
    assert "var(" not in text and "--" not in re.sub(r"<style>.*?</style>", "", text.replace("data-chart", ""), flags=re.S)
    assert 'color="#c9403b"' in text and 'color="#1d1b22"' in text
