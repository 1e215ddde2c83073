import re

import pytest
from charts.drawings import circles, parsed

from pipeline.charts.statistics import pearson
from pipeline.core.errors import UserError
from pipeline.studies.compare.figures import curves, entropy_figure, over_k, trade_off
from pipeline.studies.compare.groups import Setting, group_runs
from pipeline.studies.compare.runs import TableRow, runs_from_rows


def settings(arms: dict[str, list[list[float]]], **extra: float) -> list[Setting]:
    """{arm: FID over k = 1.. for each seed}"""
    rows = [
        TableRow(arm, seed, k, {"fid": fid, **extra})
        for arm, seeds in arms.items()
        for seed, fids in enumerate(seeds)
        for k, fid in enumerate(fids, 1)
    ]
    return group_runs(runs_from_rows(rows))


def test_the_trade_off_places_settings_and_joins_the_best() -> None:
    found = settings({"near": [[10, 40]], "steady": [[20, 25]], "beaten": [[30, 60]]})
    near, steady, beaten = circles(trade_off(found))
    assert near[0] < steady[0] < beaten[0] and steady[1] > near[1] == beaten[1]
    front = next(line for line in parsed(trade_off(found)).iter("polyline"))
    assert front.attrib["points"] == " ".join(f"{x:.1f},{y:.1f}" for x, y in (near, steady))


def test_a_chain_of_one_iteration_has_no_place_in_the_trade_off() -> None:
    assert "Nothing was recorded" in trade_off(settings({"short": [[10]]}))


def test_several_seeds_have_a_band_and_one_has_none() -> None:
    assert len(re.findall("<polygon", curves(settings({"a": [[1, 2], [2, 4]], "b": [[1, 3]]}), "fid"))) == 1


def test_single_runs_are_thin_marks_where_they_were_measured_behind_the_mean() -> None:
    chart = curves(settings({"a": [[1, 2], [3, 6]]}), "fid")
    drawn = [c for c in parsed(chart).iter() if c.tag.endswith("circle")]
    dots, means = ([c for c in drawn if (c.attrib.get("class") == "dot-mark") is faint] for faint in (True, False))
    assert (len(dots), len(means)) == (4, 2)
    one, two, three, six = sorted((float(c.attrib["cy"]) for c in dots), reverse=True)
    assert (one - three) / (one - six) == pytest.approx(2 / 5, abs=0.01)
    assert (one - two) / (one - six) == pytest.approx(1 / 5, abs=0.01)
    assert float(means[0].attrib["cy"]) == pytest.approx((one + three) / 2, abs=0.1)
    assert chart.index("dot-mark") < chart.index("polyline")


def test_the_trade_off_marks_single_runs_and_labels_settings_only() -> None:
    svg = trade_off(settings({"a": [[10, 40], [12, 50]], "b": [[20, 25]]}))
    assert svg.count("dot-mark") == 2
    assert [text.text for text in parsed(svg).iter("text") if text.attrib["class"] == "mark"] == ["a", "b"]


def _floors(**floors: float) -> str:
    rows = [TableRow(arm, 0, k, {"fid": 10.0 * k, "fid_floor": floor}) for arm, floor in floors.items() for k in (1, 2)]
    return curves(group_runs(runs_from_rows(rows)), "fid")


def test_one_floor_is_one_line_and_different_floors_are_told_apart() -> None:
    for shared in (_floors(a=30.0), _floors(a=30.0, b=30.00001)):
        assert shared.count("line dashed") == 1 and "real vs real against" in shared
    apart = _floors(a=30.0, b=40.0)
    assert apart.count("line dashed") == 2 and "real vs real, a" in apart and "real vs real, b" in apart


def test_saturation_growth_is_relative_to_the_real_images_of_the_same_run() -> None:
    rows = [
        TableRow("a", seed, k, {"fid": 1.0, "saturation": start * (1 + 0.1 * k)})
        for seed, start in enumerate((0.2, 0.4))
        for k in (0, 1, 2)
    ]
    (found,) = group_runs(runs_from_rows(rows))
    growth = found.at("saturation_growth", 2)
    assert growth is not None and (growth.mean, growth.half) == (pytest.approx(1.2), pytest.approx(0.0, abs=1e-12))
    assert "Saturation growth" in [figure.title for figure in over_k([found])]


def test_without_the_real_images_there_is_no_saturation_growth() -> None:
    found = settings({"a": [[1, 2]]}, saturation=0.3)
    assert found[0].at("saturation_growth", 1) is None
    assert "Saturation growth" not in [figure.title for figure in over_k(found)]


def test_a_metric_that_no_run_has_is_named_with_those_that_are_there() -> None:
    with pytest.raises(UserError, match="--metric FID: no run has it; the runs have fid, recall"):
        over_k(settings({"a": [[1, 2]]}, recall=0.5), ["FID"])


def test_names_are_never_markup() -> None:
    nasty = '<script>alert("1")</script>'
    for svg in (trade_off(settings({nasty: [[1, 2]]})), curves(settings({nasty: [[1, 2]]}), "fid")):
        assert "<script" not in svg


def test_entropy_and_score_correlate_as_they_were_made_to() -> None:
    rows = [
        TableRow("a", 0, k, {"fid": 1.0, "entropy_training": -k, "generalisation_score": 2.0 * 3.0**-k}) for k in (1, 2, 3, 4)
    ]
    figure = entropy_figure(group_runs(runs_from_rows(rows)))
    assert figure is not None and "r = 1.00 over 4 points" in figure.note
    assert len(circles(figure.svg)) == 4


def test_there_is_no_entropy_figure_without_entropies() -> None:
    assert entropy_figure(settings({"a": [[1, 2]]})) is None
    assert pearson([1.0, 2.0], [1.0, 2.0]) is None and pearson([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
