import json

import numpy as np
import pytest
from charts.drawings import parsed

from pipeline.report.projection import draw_map, prompt_rows


def manifest(images: list[tuple[int, int]]) -> list[dict]:
    return [{"prompt_index": prompt, "image_index": image} for prompt, image in images]


def dots(svg: object) -> list[np.ndarray]:
    paths = (str(path.get("d")) for path in parsed(svg).iter("path"))
    return [np.array([dot.removesuffix("h0").split(" ") for dot in path.split("M")[1:]], dtype=float) for path in paths]


def test_the_first_image_of_every_prompt_stands_for_it_in_one_order() -> None:
    sets = [manifest([(0, 0), (1, 0)]), manifest([(1, 1), (0, 1), (1, 0), (0, 0)])]
    assert prompt_rows(sets, 100) == [[0, 1], [3, 2]]


def test_a_prompt_that_some_iteration_lacks_is_left_out() -> None:
    sets = [manifest([(0, 0), (1, 0), (2, 0)]), manifest([(0, 0), (2, 0)])]
    assert prompt_rows(sets, 100) == [[0, 2], [0, 1]]
    assert prompt_rows([manifest([(0, 0)]), manifest([(1, 0)])], 100) == [[], []]


def test_of_too_many_prompts_an_even_choice_of_whole_prompts_is_shown() -> None:
    rows = prompt_rows([manifest([(i, 0) for i in range(1000)])] * 13, 2000)
    assert len(rows) == 13 and 100 < len(rows[0]) <= 2000 // 13
    assert all(chosen == rows[0] for chosen in rows)
    assert set(np.diff(rows[0])) <= {6, 7}


def test_the_map_keeps_proportions_and_stays_inside_its_frame() -> None:
    rng = np.random.default_rng(0)
    points = [rng.normal(size=(20, 2)) * [300, 40] for _ in range(3)]
    drawn = np.concatenate(dots(draw_map(points, [(i, "prompt") for i in range(20)])))
    given = np.concatenate(points)
    ratio = np.linalg.norm(drawn[1:] - drawn[0], axis=1) / np.linalg.norm(given[1:] - given[0], axis=1)
    assert ratio == pytest.approx(np.full(59, ratio.mean()), rel=0.05)
    assert (drawn > 0).all() and (drawn < [720, 660]).all()


def test_points_that_all_coincide_are_drawn_in_the_middle() -> None:
    (only,) = dots(draw_map([np.zeros((4, 2))], [(i, "") for i in range(4)]))
    assert np.isfinite(only).all() and len(np.unique(only, axis=0)) == 1


def test_prompts_are_data_and_never_markup() -> None:
    hostile = '"><script>alert(1)</script>'
    svg = parsed(draw_map([np.eye(2)], [(3, hostile), (4, "b")])).find("svg")
    assert svg is not None and json.loads(str(svg.get("data-map"))) == [[3, hostile], [4, "b"]]


def test_no_common_prompt_is_said() -> None:
    assert "No prompt has an image" in draw_map([], [])
