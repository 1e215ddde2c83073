"""Stage curate: which images M_k is finetuned on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.chain import params
from pipeline.chain.params import View
from pipeline.chain.paths import Layout, image_name
from pipeline.core.json_files import read_jsonl, write_jsonl
from pipeline.curate import stage
from pipeline.methods.policies import TrainingImage
from pipeline.methods.policies.mix import mixed
from project import ROOT


def records(k: int, prompts: int, images: int = 1) -> list[TrainingImage]:
    return [
        {
            "path": f"data/D_{k}/{image_name(p, i)}",
            "prompt_index": p,
            "image_index": i,
            "caption": f"c{p}",
            "k": k,
            "sha256": f"{k}.{p}.{i}",
        }
        for p in range(prompts)
        for i in range(images)
    ]


def test_mixing_replaces_by_the_own_real_counterpart_at_the_asked_rate() -> None:
    chosen = mixed(records(3, 4000), records(0, 4000), 0.9, seed=1)
    assert [row["prompt_index"] for row in chosen] == list(range(4000))
    share = np.mean([row["k"] == 0 for row in chosen])
    assert abs(share - 0.9) < 4 * np.sqrt(0.9 * 0.1 / 4000)


@pytest.mark.parametrize(("fraction", "source"), [(0.0, 3), (1.0, 0)])
def test_the_ends_of_mixing_are_all_generated_and_all_real(fraction: float, source: int) -> None:
    assert {row["k"] for row in mixed(records(3, 50), records(0, 50), fraction, seed=1)} == {source}


def test_one_images_fate_does_not_depend_on_the_others() -> None:
    whole = mixed(records(2, 40, images=3), records(0, 40), 0.5, seed=7)
    part = mixed(records(2, 40, images=3)[60:], records(0, 40), 0.5, seed=7)
    assert whole[60:] == part


def project(tmp_path: Path, iterations: int) -> Layout:
    layout = Layout(tmp_path)
    write_jsonl(layout.training_set(0), [])
    for k in range(iterations):
        rows = [
            {"file": image_name(p), "prompt_index": p, "image_index": 0, "prompt": f"c{p}", "seed": 0, "sha256": f"{k}.{p}"}
            for p in range(5)
        ]
        write_jsonl(layout.manifest(k), rows)
    return layout


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("replace", [["0"] * 5, ["1"] * 5, ["2"] * 5]),
        ("accumulate", [["0"] * 5, ["0"] * 5 + ["1"] * 5, ["0"] * 5 + ["1"] * 5 + ["2"] * 5]),
    ],
)
def test_training_sets_over_the_iterations(tmp_path: Path, policy: str, expected: list[list[str]]) -> None:
    layout = project(tmp_path, 3)
    values = params.load(ROOT / "params.yaml").model_dump() | {"training_set": policy}
    for k in (1, 2, 3):
        stage.run(View(params.check(values), "curate"), k, layout)
        rows = read_jsonl(layout.training_set(k))
        assert [row["sha256"].split(".")[0] for row in rows] == expected[k - 1]
        assert all(row["path"].startswith(f"data/D_{row['k']}/") for row in rows)
