"""Policy select: what each pool holds, what is kept of it, and what wrong use is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from chains import parameters
from pipeline.chain.params import View
from pipeline.chain.paths import Layout, image_name
from pipeline.core.errors import UserError
from pipeline.core.json_files import read_jsonl, write_jsonl
from pipeline.core.tensors import save_tensors
from pipeline.curate import stage

PROMPTS = 6


def write_set(layout: Layout, k: int, features: np.ndarray, copies: int) -> None:
    """D_k's manifest of PROMPTS x copies images, and their features [PROMPTS * copies, d] in its order."""
    rows = [
        {"file": image_name(p, i), "prompt_index": p, "image_index": i, "prompt": f"c{p}", "seed": 0, "sha256": f"{k}.{p}.{i}"}
        for p in range(PROMPTS)
        for i in range(copies)
    ]
    write_jsonl(layout.manifest(k), rows)
    save_tensors(layout.features(k), {"image": torch.from_numpy(features.astype(np.float32))})


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """D_0 at 0, 10, .. 50 on a line; D_1 and D_2 with two images a prompt, random in the same plane."""
    layout = Layout(tmp_path)
    write_jsonl(layout.training_set(0), [])
    write_set(layout, 0, np.stack([10.0 * np.arange(PROMPTS), np.zeros(PROMPTS)], axis=1), 1)
    rng = np.random.default_rng(0)
    for k in (1, 2):
        write_set(layout, k, rng.normal(25.0, 20.0, (2 * PROMPTS, 2)), 2)
    return layout


def curate(layout: Layout, k: int, **changes: Any) -> list[dict[str, Any]]:
    stage.run(View(parameters(3, training_set="select", **changes), "curate"), k, layout)
    return read_jsonl(layout.training_set(k))


def images(rows: list[dict[str, Any]]) -> list[str]:
    return [row["sha256"] for row in rows]


RULES = pytest.mark.parametrize("rule", ["greedy", "threshold_decay"])
POOLS = pytest.mark.parametrize("pool", ["replace", "accumulate", "accumulate_subsample"])


def test_a_random_selection_takes_every_image_as_often(layout: Layout) -> None:
    taken = [sha for seed in range(200) for sha in images(curate(layout, 2, selection="random", seed=seed))]
    counts = [taken.count(f"1.{p}.{i}") for p in range(PROMPTS) for i in (0, 1)]
    assert sum(counts) == 200 * PROMPTS
    assert all(70 <= count <= 130 for count in counts)  # 4 standard deviations around 100


@RULES
@POOLS
def test_the_first_training_set_is_all_of_the_real_images(
    layout: Layout, rule: str, pool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert images(curate(layout, 1, selection=rule, pool=pool)) == [f"0.{p}.0" for p in range(PROMPTS)]
    assert capsys.readouterr().err == "curate 1: T_1 keeps all 6 images of its pool, as T_1 always does\n"


@RULES
def test_replace_keeps_one_of_each_two_images_that_look_alike(layout: Layout, rule: str) -> None:
    pairs = np.repeat(10.0 * np.arange(PROMPTS), 2) + np.tile([0.0, 0.1], PROMPTS)
    write_set(layout, 2, pairs[:, None], 2)
    rows = curate(layout, 3, selection=rule, selection_threshold=5.0)
    assert [row["prompt_index"] for row in rows] == list(range(PROMPTS))
    assert {row["k"] for row in rows} == {2}


@RULES
def test_accumulate_adds_images_unlike_those_that_are_held(layout: Layout, rule: str) -> None:
    near_or_far = np.stack([np.repeat(10.0 * np.arange(PROMPTS), 2), np.tile([0.1, 500.0], PROMPTS)], axis=1)
    write_set(layout, 1, near_or_far, 2)
    options: dict[str, Any] = {"selection": rule, "pool": "accumulate", "selection_threshold": 5.0}
    curate(layout, 1, **options)
    rows = curate(layout, 2, **options)
    assert images(rows) == [f"0.{p}.0" for p in range(PROMPTS)] + [f"1.{p}.1" for p in range(PROMPTS)]


def test_a_quantile_of_tau_0_looks_at_what_may_be_chosen_and_what_is_held(layout: Layout) -> None:
    """D_1 lies 0.1 and 4 beside D_0: within D_1 the nearest image is 3.9 away or more, and half of it is 0.1 from D_0."""
    beside = np.stack([np.repeat(10.0 * np.arange(PROMPTS), 2), np.tile([0.1, 4.0], PROMPTS)], axis=1)
    write_set(layout, 1, beside, 2)
    options: dict[str, Any] = {"selection": "threshold_decay", "pool": "accumulate"}
    curate(layout, 1, **options)
    by_quantile = [images(curate(layout, 2, seed=seed, selection_quantile=0.6, **options)) for seed in range(4)]
    by_distance = [images(curate(layout, 2, seed=seed, selection_threshold=3.9, **options)) for seed in range(4)]
    assert by_quantile == by_distance


@RULES
def test_accumulate_grows_by_n_an_iteration_and_drops_nothing(layout: Layout, rule: str) -> None:
    sets = [images(curate(layout, k, selection=rule, pool="accumulate")) for k in (1, 2, 3)]
    assert [len(set(found)) for found in sets] == [PROMPTS, 2 * PROMPTS, 3 * PROMPTS]
    assert sets[1][:PROMPTS] == sets[0] and sets[2][: 2 * PROMPTS] == sets[1]


@RULES
def test_accumulate_subsample_keeps_n_of_all_iterations(layout: Layout, rule: str) -> None:
    # D_2 is one image twelve times over, and D_1 lies upon D_0: the N different images are D_0's or D_1's copies of them.
    line = np.stack([10.0 * np.arange(PROMPTS), np.zeros(PROMPTS)], axis=1)
    write_set(layout, 1, np.repeat(line, 2, axis=0), 2)
    write_set(layout, 2, np.tile(line[:1], (2 * PROMPTS, 1)), 2)
    rows = curate(layout, 3, selection=rule, pool="accumulate_subsample", selection_threshold=1.0)
    positions = {(row["prompt_index"] if row["k"] < 2 else 0) for row in rows}
    assert len(rows) == PROMPTS and positions == set(range(PROMPTS))


def test_accumulate_subsample_may_keep_images_of_any_iteration(layout: Layout) -> None:
    kept = {row["k"] for seed in range(5) for row in curate(layout, 3, pool="accumulate_subsample", seed=seed)}
    assert kept == {0, 1, 2}


@RULES
@POOLS
def test_rows_are_whole_and_ordered_by_iteration_prompt_and_image(layout: Layout, rule: str, pool: str) -> None:
    rows = [curate(layout, k, selection=rule, pool=pool) for k in (1, 2, 3)][-1]
    places = [(row["k"], row["prompt_index"], row["image_index"]) for row in rows]
    assert places == sorted(set(places))
    for row in rows:
        k, p, i = (int(part) for part in row["sha256"].split("."))
        assert row == {"path": f"data/D_{k}/{image_name(p, i)}", "prompt_index": p, "image_index": i,
                       "caption": f"c{p}", "k": k, "sha256": f"{k}.{p}.{i}"}  # fmt: skip


@RULES
def test_a_second_run_writes_the_same_bytes_and_another_seed_others(layout: Layout, rule: str) -> None:
    def written(seed: int) -> bytes:
        curate(layout, 3, selection=rule, seed=seed)
        return layout.training_set(3).read_bytes()

    assert written(0) == written(0)
    assert len({written(seed) for seed in range(5)}) > 1


def test_features_follow_the_manifest_not_the_file_names(layout: Layout) -> None:
    rows = read_jsonl(layout.manifest(2))
    features = np.zeros(2 * PROMPTS)
    features[[0, 3, 4, 7, 9, 10]] = 10.0 * np.arange(1, 7)
    order = np.random.default_rng(1).permutation(len(rows))
    write_set(layout, 2, features[order][:, None], 2)
    write_jsonl(layout.manifest(2), [rows[i] for i in order])
    kept = images(curate(layout, 3))
    assert len({rows[i]["sha256"] for i in (0, 3, 4, 7, 9, 10)} & set(kept)) >= PROMPTS - 1  # the first may be any


def test_a_pool_without_choice_is_told(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    write_set(layout, 1, np.arange(PROMPTS)[:, None], 1)
    assert len(curate(layout, 2)) == PROMPTS
    assert "T_2 keeps all 6 images of its pool, so nothing is selected; set images_per_prompt to 2" in capsys.readouterr().err


def test_a_real_choice_says_nothing(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    curate(layout, 2)
    assert capsys.readouterr().err == ""


def drop_features(layout: Layout) -> None:
    layout.features(1).unlink()


def cut_features(layout: Layout) -> None:
    save_tensors(layout.features(1), {"image": torch.zeros(2 * PROMPTS - 1, 2)})


def rename_features(layout: Layout) -> None:
    save_tensors(layout.features(1), {"text": torch.zeros(2 * PROMPTS, 2)})


def spoil_features(layout: Layout) -> None:
    spoilt = torch.zeros(2 * PROMPTS, 2)
    spoilt[4, 1] = torch.nan
    save_tensors(layout.features(1), {"image": spoilt})


def widen_features(layout: Layout) -> None:
    save_tensors(layout.features(1), {"image": torch.zeros(2 * PROMPTS, 384)})


def cut_manifest(layout: Layout) -> None:
    rows = read_jsonl(layout.manifest(1))[: PROMPTS - 1]
    write_jsonl(layout.manifest(1), rows)
    save_tensors(layout.features(1), {"image": torch.zeros(len(rows), 2)})


def exchange_real_set(layout: Layout) -> None:
    rows = read_jsonl(layout.manifest(0))
    write_jsonl(layout.manifest(0), [row | {"prompt_index": row["prompt_index"] + 1} for row in rows])


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (drop_features, "features/1.safetensors, the features of D_1, does not exist; run 'redifine measure --k 1'"),
        (cut_features, "features/1.safetensors has the shape [11, 2], not [12, dimensions], a row for each image of D_1"),
        (rename_features, "features/1.safetensors lacks image"),
        (spoil_features, "features/1.safetensors, row 4 holds NaN or infinity"),
        (widen_features, "features/1.safetensors has 384 dimensions, but"),
        (cut_manifest, "pool accumulate (params.yaml) has 5 images for T_2, fewer than the 6 prompts"),
        (exchange_real_set, "D_0/manifest.jsonl lacks image 0 of prompt 0, which a training set names"),
    ],
)
def test_wrong_use_is_told_in_one_sentence(layout: Layout, harm: Callable[[Layout], None], sentence: str) -> None:
    curate(layout, 1, pool="accumulate")
    harm(layout)
    with pytest.raises(UserError) as caught:
        curate(layout, 2, pool="accumulate")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not layout.training_set(2).exists()


@pytest.mark.parametrize("policy", ["replace", "mix", "accumulate"])
def test_the_other_policies_need_no_features(layout: Layout, policy: str) -> None:
    for k in (0, 1, 2):
        layout.features(k).unlink()
    stage.run(View(parameters(3, training_set=policy), "curate"), 1, layout)
    assert len(read_jsonl(layout.training_set(1))) == PROMPTS
