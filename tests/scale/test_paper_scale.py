"""The benchmark that waits for a GPU runs: on the tiny model, every comparison that a CPU can make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.paper_scale import __main__ as command
from benchmarks.paper_scale import floors, iteration, numerics, sampling, training
from benchmarks.paper_scale.scale import Scale, interleaved, scale_of
from pipeline.chain.paths import Layout
from pipeline.core.json_files import read_json
from pipeline.diffusion.models import load_base
from train.train_project import needs_sd_scripts

SMALL = Scale("cpu", 64, "fp32", 2, (1, 2), 2, 1, 4, 1, 75, 1)


def test_the_floors_are_those_of_the_counted_operations() -> None:
    assert 1 / floors.image_seconds() == pytest.approx(15.6, rel=0.01)
    assert pytest.approx(241, rel=0.01) == floors.UPDATES * floors.STEP_SECONDS


def test_both_samplers_are_timed_at_every_batch(tiny_model: Path) -> None:
    found = sampling.compare(load_base(tiny_model), SMALL)
    assert set(found) == {f"{who}, plain, batch {batch}" for who in ("ours", "diffusers") for batch in (1, 2)}
    assert all(rate > 0 for rate in found.values())


def test_runs_take_turns_after_one_that_is_not_timed() -> None:
    order: list[str] = []
    interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2, "cpu")
    assert order == ["a", "b", "a", "b", "a", "b"]


@pytest.mark.parametrize("cached", [True, False])
def test_the_builtin_trainer_is_timed_in_its_steady_state(tiny_model: Path, tmp_path: Path, cached: bool) -> None:
    training.write_project(Layout(tmp_path), tiny_model, SMALL, cached)
    assert training.rate_of_builtin(Layout(tmp_path), SMALL) > 0


def test_a_clock_leaves_out_the_first_updates() -> None:
    assert training.Clock([0.0, 10.0, 10.5, 11.0, 11.5]).rate(skipped=1) == 2.0


def test_an_iteration_is_its_training_its_images_and_its_measures() -> None:
    assert iteration.minutes(images_per_second=10, updates_per_second=28, measuring_seconds=60) == pytest.approx(
        16_800 / 28 / 60 + 1000 / 10 / 60 + 1
    )


def test_psnr_is_the_textbooks() -> None:
    one = np.zeros((2, 4, 4, 3), np.uint8)
    other = one.copy()
    other[1] = 255
    assert numerics.psnr(one, one) == [99.0, 99.0]
    assert numerics.psnr(one, other) == [99.0, 0.0]


def test_only_medians_are_held_to_the_tolerance() -> None:
    assert "NOT met" in numerics._verdict("bf16, constant guidance, median PSNR", 34.9)
    assert numerics._verdict("bf16, constant guidance, median PSNR", 35.0).endswith(": met")
    assert numerics._verdict("bf16, constant guidance, least PSNR", 1.0) == numerics._verdict("fp32 twice, equal", 1.0) == ""


def test_a_part_that_fails_costs_no_other_and_commands_add_to_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: object) -> dict[str, float]:
        raise RuntimeError("no such kernel")

    parts = {"sampling": lambda *given: {"ours, plain, batch 1": 2.0}, "numerics": fails, "memory": lambda *given: {"a": 1.0}}
    monkeypatch.setattr(command, "RUNS", parts)
    out = ["--device", "cpu", "--out", str(tmp_path / "r.json")]
    first = CliRunner().invoke(command.main, ["--only", "numerics", "--only", "sampling", *out])
    assert first.exit_code == 0 and "no such kernel" in first.output
    assert CliRunner().invoke(command.main, ["--only", "memory", *out]).exit_code == 0
    assert read_json(tmp_path / "r.json")["found"] == {
        "sampling": {"ours, plain, batch 1": 2.0}, "numerics": {}, "memory": {"a": 1.0},
    }  # fmt: skip


def test_a_number_is_in_the_file_as_soon_as_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(scale: Scale, *rest: object) -> dict[str, float]:
        scale.keep("ours, plain, batch 1", 2.0)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "RUNS", {"sampling": cut_off})
    CliRunner().invoke(command.main, ["--only", "sampling", "--device", "cpu", "--out", str(tmp_path / "r.json")])
    assert read_json(tmp_path / "r.json")["found"] == {"sampling": {"ours, plain, batch 1": 2.0}}


def test_a_timed_run_is_long_enough_to_overlap_and_short_enough_for_small_batches() -> None:
    scale = scale_of("cuda", quick=False)
    assert [scale.count(batch) for batch in (1, 8, 16, 32)] == [8, 64, 64, 128]


def test_aims_that_were_not_measured_are_not_met(capsys: pytest.CaptureFixture[str]) -> None:
    command.print_aims({"sampling": {"ours, plain, batch 8": 9.0}, "training": {"builtin, cached latents": 30.0}})
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in said if "aim" in line] == ["met", "met", "met", "met"]
    assert [("NOT" in line) for line in said if "aim" in line] == [False, True, False, True]


@pytest.mark.slow
@needs_sd_scripts
def test_both_trainers_are_timed_on_one_pair_of_tomls(tiny_model: Path) -> None:
    from pipeline.train.kohya.launch import find_sd_scripts
    from project import ROOT

    found = training.compare(tiny_model, SMALL, find_sd_scripts(ROOT))
    assert set(found) == {f"{who}, {how} latents" for who in ("builtin", "sd-scripts") for how in ("cached", "live")}
    assert all(rate > 0 for rate in found.values())
