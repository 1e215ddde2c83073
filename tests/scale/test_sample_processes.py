"""Sampling by several processes: the same bytes as by one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from scale_chain import PROMPTS, bytes_of, sampling_chain, view

from pipeline.cli.application import main
from pipeline.core.errors import UserError
from pipeline.core.tensors import load_tensors, save_tensors
from pipeline.diffusion.devices import devices_of
from pipeline.sample import processes, stage
from pipeline.sample.image_plan import Plan


def test_two_processes_draw_the_bytes_of_one(tiny_model: Path, tmp_path: Path) -> None:
    params = view(tiny_model, images_per_prompt=2, steps=3)
    chains = {count: sampling_chain(tiny_model, tmp_path / str(count)) for count in (1, 2)}
    for count, layout in chains.items():
        stage.run(params, 2, layout, "cpu", count)
    assert bytes_of(chains[2]) == bytes_of(chains[1])
    assert not chains[2].scratch.exists() or not any(chains[2].scratch.rglob("*.png"))


def test_prompts_of_ones_own_are_shared_out_too(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared_out: list[list[str]] = []
    side_by_side = processes._draw_side_by_side

    def noted(load: processes.LoadModel, plan: Plan, todo: Sequence[int], devices: Sequence[str]) -> None:
        shared_out.append(list(devices))
        side_by_side(load, plan, todo, devices)

    monkeypatch.setattr(processes, "_draw_side_by_side", noted)
    (tmp_path / "p.txt").write_text("\n".join(filter(None, PROMPTS)))
    options = ["--model", str(tiny_model), "--prompts", str(tmp_path / "p.txt"), "--steps", "2", "--batch", "1"]
    for number in ("1", "2"):
        out = ["--device", "cpu", "--processes", number, "--out", str(tmp_path / number)]
        assert CliRunner().invoke(main, ["sample", *options, *out]).exit_code == 0
    assert shared_out == [["cpu", "cpu"]]
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / number).iterdir()} for number in ("1", "2"))
    assert len(one) == 5 and two == one


@pytest.mark.slow
def test_what_stops_one_process_is_said_and_the_finished_batches_stay(tiny_model: Path, tmp_path: Path) -> None:
    layout = sampling_chain(tiny_model, tmp_path / "chain")
    tensors, _ = load_tensors(layout.lora(2))
    save_tensors(layout.lora(2), {name: tensor * 1e30 if "alpha" in name else tensor for name, tensor in tensors.items()})
    with pytest.raises(UserError, match="NaN or infinity"):
        stage.run(view(tiny_model), 2, layout, "cpu", 2)
    assert not layout.images(2).exists()


def test_processes_have_devices_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 4)
    assert devices_of("cuda", 3) == ["cuda:0", "cuda:1", "cuda:2"]
    assert devices_of("cpu", 2) == ["cpu", "cpu"]
    assert devices_of("cuda:5", 1) == ["cuda:5"]
    with pytest.raises(UserError, match="needs as many devices, and there are 4"):
        devices_of("cuda", 5)
    with pytest.raises(UserError, match="cuda:1 is one device"):
        devices_of("cuda:1", 2)


@pytest.mark.parametrize("number", ["0", "1.5", "many"])
def test_a_number_of_processes_that_is_none_is_refused(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CliRunner().invoke(main, ["sample", "--k", "1", "--processes", number]).exit_code == 2
    monkeypatch.setenv("REDIFINE_PROCESSES", number)
    assert CliRunner().invoke(main, ["train", "--k", "1"]).exit_code == 2
