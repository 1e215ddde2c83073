import numpy as np
import pytest
from charts.drawings import parsed, points

from pipeline.methods.measures.sfd import sfd
from pipeline.report.drift import PromptDrift, draw_drift, measure_drift


def manifest(prompts: list[int]) -> list[dict]:
    return [{"prompt_index": prompt, "image_index": 0} for prompt in prompts]


def test_the_mean_of_the_last_distances_is_the_sfd() -> None:
    rng = np.random.default_rng(0)
    real, drawn = rng.normal(size=(9, 5)).astype(np.float32), rng.normal(size=(9, 5)).astype(np.float32)
    order, shuffled = list(range(9)), [4, 0, 8, 2, 6, 1, 7, 3, 5]
    drift = measure_drift([manifest(order), manifest(shuffled)], [real, drawn].__getitem__)
    assert np.mean([path[1] for path in drift.distances.values()]) == pytest.approx(sfd(drawn, real, shuffled, order))


def test_each_path_starts_at_the_real_image_and_follows_its_own_prompt() -> None:
    sets = [np.array([[0.0], [10.0]]), np.array([[12.0], [1.0]]), np.array([[5.0], [10.0]])]
    drift = measure_drift([manifest([0, 1]), manifest([1, 0]), manifest([0, 1])], sets.__getitem__)
    assert drift.distances == {0: [0.0, 1.0, 5.0], 1: [0.0, 2.0, 0.0]}


def test_several_images_of_a_prompt_count_with_their_mean_and_a_missing_one_leaves_a_gap() -> None:
    sets = [np.zeros((2, 1)), np.array([[1.0], [3.0]])]
    assert measure_drift([manifest([0, 1]), manifest([0, 0])], sets.__getitem__).distances == {0: [0.0, 2.0], 1: [0.0, None]}


def test_prompts_are_ordered_by_their_last_distance() -> None:
    drift = PromptDrift({0: [0.0, 9.0, 3.0], 1: [0.0, 1.0, 7.0], 2: [0.0, 1.0, 4.0], 3: [0.0, 1.0, 1.0], 4: [0.0, 1.0, 5.0]})
    orders = drift.orders([0, 1, 2, 3, 4])
    assert orders["worst"] == [1, 4, 2, 0, 3]
    assert orders["best"] == [3, 0, 2, 4, 1]
    assert orders["median"] == [2, 0, 4, 1, 3]


def test_a_family_without_a_last_image_stands_last_in_every_order() -> None:
    drift = PromptDrift({0: [0.0, None], 1: [0.0, 7.0], 2: [0.0, 4.0]})
    assert {order[-1] for order in drift.orders([0, 1, 2, 9]).values()} == {9}
    assert all(order.index(0) == 2 for order in drift.orders([0, 1, 2, 9]).values())


def test_a_chain_without_any_last_image_keeps_the_order_given() -> None:
    assert set(map(tuple, PromptDrift({0: [0.0, None], 1: [0.0, None]}).orders([1, 0]).values())) == {(1, 0)}


def test_the_first_to_show_hold_the_worst_the_median_and_the_best() -> None:
    drift = PromptDrift({prompt: [0.0, float(prompt)] for prompt in range(101)})
    assert set(drift.first_to_show(2)) == {0, 1, 100, 99, 50, 49}


def test_all_prompts_are_drawn_on_one_scale() -> None:
    drawn = {
        prompt: parsed(markup) for prompt, markup in draw_drift(PromptDrift({0: [0.0, 5.0], 1: [0.0, 10.0]}), (0, 1)).items()
    }
    (start, half), (other_start, whole) = (points(next(drawn[prompt].iter("polyline"))) for prompt in (0, 1))
    assert start == other_start and start[0] < half[0]
    assert start[1] - whole[1] == pytest.approx(2 * (start[1] - half[1]))
    assert "10.0" in "".join(drawn[1].itertext())


def test_a_gap_is_bridged_and_the_rest_keeps_its_place() -> None:
    drawn = draw_drift(PromptDrift({0: [0.0, None, 4.0], 1: [0.0, 2.0, 4.0]}), (0, 1))
    gap, whole = (points(next(parsed(drawn[prompt]).iter("polyline"))) for prompt in (0, 1))
    assert gap == [whole[0], whole[2]]


def test_prompts_that_never_moved_are_drawn_level() -> None:
    line = points(next(parsed(draw_drift(PromptDrift({0: [0.0, 0.0, 0.0]}), (0,))[0]).iter("polyline")))
    assert len({y for _, y in line}) == 1
