"""The selection rules: against plain loops over a full distance matrix, hand-made cases, and what they promise."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist, pdist

from pipeline.core import distances
from pipeline.methods import selection
from pipeline.methods.selection import greedy, starting_threshold, threshold_decay


def plain_greedy(features: np.ndarray, count: int, taken: list[int], chosen: np.ndarray | None) -> list[int]:
    """Farthest-point sampling by the book, starting from the indices `taken`."""
    between = cdist(features, features)
    kept = np.full(len(features), np.inf) if chosen is None else cdist(features, chosen).min(axis=1)
    picks = list(taken)
    while len(picks) < count:
        free = [i for i in range(len(features)) if i not in picks]
        picks.append(max(free, key=lambda i: min([kept[i], *between[i, picks]])))
    return picks


def plain_filter(
    features: np.ndarray, count: int, tau: float, decay: float, order: np.ndarray, chosen: np.ndarray | None
) -> tuple[list[int], float]:
    """(accepted, last tau) of the filter by the book, in the given order."""
    between = cdist(features, features)
    kept = np.full(len(features), np.inf) if chosen is None else cdist(features, chosen).min(axis=1)
    accepted: list[int] = []
    while True:
        for i in order:
            if i not in accepted and min([kept[i], *between[i, accepted]]) > tau:
                accepted.append(int(i))
            if len(accepted) == count:
                return accepted, tau
        if all(min([kept[i], *between[i, accepted]]) == 0.0 for i in order):
            return accepted + [int(i) for i in order if i not in accepted][: count - len(accepted)], 0.0
        tau *= decay


def gaussian(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.standard_normal((n, d)).astype(np.float32)


POOLS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "plane": lambda rng: gaussian(rng, 120, 2),
    "many dimensions": lambda rng: gaussian(rng, 100, 200),
    "far from the origin": lambda rng: 1000.0 + gaussian(rng, 90, 5),
    "each point three times": lambda rng: rng.permutation(np.repeat(gaussian(rng, 35, 4), 3, axis=0)),
    "grid with ties": lambda rng: rng.integers(0, 4, (110, 3)).astype(np.float32),
    "tight clusters": lambda rng: np.repeat(10.0 * gaussian(rng, 9, 6), 12, axis=0) + 1e-3 * gaussian(rng, 108, 6),
    "all the same": lambda rng: np.full((40, 3), 0.7, dtype=np.float32),
}
pools = pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
starts = pytest.mark.parametrize("held", [0, 5], ids=["from nothing", "beside what is held"])


@pytest.fixture(params=[512, 7], ids=["one block", "many blocks"])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    for module in (distances, selection):
        monkeypatch.setattr(module, "BLOCK", request.param)
    return request.param


@pools
@starts
def test_greedy_picks_what_plain_farthest_point_sampling_picks(
    block: int, pool: Callable[[np.random.Generator], np.ndarray], held: int
) -> None:
    features = pool(np.random.default_rng(3))
    chosen = features[:held] + np.float32(0.5) if held else None
    picks = greedy(features, 30, np.random.default_rng(1), chosen)
    first = [] if held else [int(picks[0])]
    assert picks.tolist() == plain_greedy(features, 30, first, chosen)


@pools
@starts
def test_threshold_decay_accepts_what_the_sequential_filter_accepts(
    block: int, pool: Callable[[np.random.Generator], np.ndarray], held: int
) -> None:
    features = pool(np.random.default_rng(4))
    chosen = features[:held] + np.float32(0.5) if held else None
    order = np.random.default_rng(2).permutation(len(features))
    expected, _ = plain_filter(features, 30, 1.7, 0.8, order, chosen)
    assert threshold_decay(features, 30, 1.7, 0.8, np.random.default_rng(2), chosen).tolist() == expected


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=25), st.data())
def test_both_rules_are_the_plain_ones_on_any_small_grid(points: list[tuple[int, int]], data: st.DataObject) -> None:
    features = np.array(points, dtype=np.float32)
    count = data.draw(st.integers(1, len(points)))
    picks = greedy(features, count, np.random.default_rng(0)).tolist()
    assert picks == plain_greedy(features, count, picks[:1], None)
    order = np.random.default_rng(0).permutation(len(features))
    expected, _ = plain_filter(features, count, 4.0, 0.5, order, None)
    assert threshold_decay(features, count, 4.0, 0.5, np.random.default_rng(0)).tolist() == expected


def line(*positions: float) -> np.ndarray:
    return np.array(positions, dtype=np.float32)[:, None]


def test_greedy_on_a_line_takes_the_far_end_then_the_middles() -> None:
    # From 0: 10 is farthest, then 5; 2, 3, 7 and 8 are then all 2 away, and the first of them wins.
    assert greedy(line(*range(11)), 3, np.random.default_rng(0), chosen=line(0)).tolist() == [10, 5, 2]


def test_greedy_starts_anywhere() -> None:
    firsts = {int(greedy(line(0, 1, 2, 3), 1, np.random.default_rng(seed))[0]) for seed in range(60)}
    assert firsts == {0, 1, 2, 3}


def test_greedy_takes_a_copy_only_when_nothing_else_is_left() -> None:
    features = np.repeat(gaussian(np.random.default_rng(0), 20, 64), 2, axis=0)
    picks = greedy(features, 30, np.random.default_rng(0))
    assert len(set(picks[:20] // 2)) == 20
    assert len(set(picks)) == 30


@pytest.mark.parametrize("seed", range(8))
def test_greedys_closest_pair_is_at_least_half_as_far_apart_as_the_best_possible(seed: int) -> None:
    features = gaussian(np.random.default_rng(seed), 11, 2)
    best = max(pdist(features[list(subset)]).min() for subset in combinations(range(11), 4))
    assert pdist(features[greedy(features, 4, np.random.default_rng(seed))]).min() >= best / 2


@pytest.mark.parametrize("seed", range(8))
def test_the_filter_keeps_one_of_each_close_pair_whatever_the_order(seed: int) -> None:
    accepted = threshold_decay(line(0, 1, 10, 11), 2, 5.0, 0.5, np.random.default_rng(seed))
    assert sorted(accepted // 2) == [0, 1]


@pytest.mark.parametrize("seed", range(8))
def test_farther_means_strictly_farther(seed: int) -> None:
    # 2 lies exactly tau from what is held, so that 5 comes first in any order.
    assert threshold_decay(line(2, 5), 1, 2.0, 0.9, np.random.default_rng(seed), chosen=line(0)).tolist() == [1]


def test_the_filter_passes_over_what_is_near_to_what_is_held() -> None:
    accepted = threshold_decay(line(0.1, 5.1, 20, 30), 2, 3.0, 0.9, np.random.default_rng(0), chosen=line(0, 5))
    assert sorted(accepted) == [2, 3]


def test_every_pair_is_farther_apart_than_the_last_tau() -> None:
    features = gaussian(np.random.default_rng(5), 200, 6)
    order = np.random.default_rng(6).permutation(200)
    _, last = plain_filter(features, 50, 5.0, 0.9, order, None)
    accepted = threshold_decay(features, 50, 5.0, 0.9, np.random.default_rng(6))
    assert 0.0 < last < 5.0
    assert pdist(features[accepted]).min() > last


@pytest.mark.parametrize("tau", [0.0, 1e-30, 1.0, 1e30])
def test_the_filter_ends_at_any_tau_with_each_point_once(tau: float) -> None:
    features = np.repeat(line(0, 1e-6, 1, 50), 5, axis=0)
    accepted = threshold_decay(features, 20, tau, 0.95, np.random.default_rng(0))
    assert sorted(accepted) == list(range(20))
    assert sorted(accepted[:4] // 5) == [0, 1, 2, 3]


def test_a_common_offset_changes_no_choice() -> None:
    features = np.random.default_rng(7).integers(0, 1000, (80, 12)).astype(np.float32)
    for offset in (features, features + np.float32(2**20)):  # exact in float32
        assert greedy(offset, 40, np.random.default_rng(1)).tolist() == greedy(features, 40, np.random.default_rng(1)).tolist()


def test_a_distance_is_the_same_however_the_matrix_is_cut() -> None:
    features = gaussian(np.random.default_rng(9), 60, 333)
    points = distances.CentredPoints(features)
    whole = points.to(points, slice(None), slice(None))
    rows = [points.to(points, slice(i, i + 1), slice(None)) for i in range(60)]
    np.testing.assert_array_equal(whole, np.concatenate(rows))
    np.testing.assert_allclose(whole, cdist(features, features), rtol=1e-6)


@pytest.mark.parametrize("quantile", [0.1, 0.5, 1.0])
def test_tau_0_is_the_quantile_of_nearest_neighbour_distances(block: int, quantile: float) -> None:
    features = gaussian(np.random.default_rng(8), 150, 4)
    neighbour = cKDTree(features).query(features, k=2)[0][:, 1]
    assert starting_threshold(features, quantile) == pytest.approx(np.quantile(neighbour, quantile), rel=1e-6)


@pytest.mark.parametrize("quantile", [0.1, 0.5, 1.0])
def test_tau_0_counts_what_is_held_among_the_neighbours_but_not_among_the_points(block: int, quantile: float) -> None:
    rng = np.random.default_rng(9)
    features, held = gaussian(rng, 60, 4), 0.5 * gaussian(rng, 90, 4)
    among = cdist(features, np.vstack([features, held]))
    among[np.arange(60), np.arange(60)] = np.inf
    expected = np.quantile(among.min(axis=1), quantile)
    assert starting_threshold(features, quantile, held) == pytest.approx(expected, rel=1e-6)
    assert starting_threshold(features, 0.5, held) < starting_threshold(features, 0.5)


def test_tau_0_of_copies_is_exactly_zero() -> None:
    assert starting_threshold(np.repeat(gaussian(np.random.default_rng(0), 30, 300), 2, axis=0), 1.0) == 0.0


@pytest.mark.parametrize(
    "work",
    [
        lambda features: greedy(features, 300, np.random.default_rng(0)),
        lambda features: threshold_decay(features, 300, 3.0, 0.9, np.random.default_rng(0)),
        lambda features: starting_threshold(features, 0.5),
    ],
    ids=["greedy", "threshold_decay", "starting_threshold"],
)
def test_memory_stays_below_one_full_matrix(work: Callable[[np.ndarray], object]) -> None:
    features = gaussian(np.random.default_rng(0), 4000, 8)
    tracemalloc.start()
    work(features)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * len(features) ** 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, rng: greedy(f, 6, rng), "0..5"),
        (lambda f, rng: threshold_decay(f, 6, 1.0, 0.9, rng), "0..5"),
        (lambda f, rng: threshold_decay(f, 2, 1.0, 1.0, rng), "decay"),
        (lambda f, rng: threshold_decay(f, 2, -1.0, 0.9, rng), "tau"),
        (lambda f, rng: greedy(f, 2, rng, chosen=f[:, :1]), "2 dimensions"),
        (lambda f, rng: starting_threshold(f[:1], 0.5), "more points"),
    ],
    ids=["greedy count", "filter count", "decay", "tau", "dimensions", "one point"],
)
def test_impossible_arguments_are_refused(call: Callable[[np.ndarray, np.random.Generator], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(gaussian(np.random.default_rng(0), 5, 2), np.random.default_rng(0))
