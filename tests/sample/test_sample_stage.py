"""The stage: what it writes, that a killed run goes on, and that what users get wrong is said in one sentence."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawing import PROMPTS, write_random_lora
from PIL import Image
from safetensors import safe_open

from pipeline.chain.params import View, check
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import sha256_file
from pipeline.core.json_files import read_jsonl, write_json, write_jsonl
from pipeline.core.randomness import image_seed
from pipeline.core.tensors import load_tensors, save_tensors
from pipeline.diffusion.models import load_base
from pipeline.inputs.base_models.identity import base_files, base_hash
from pipeline.sample import batches, outputs, own_prompts, stage
from pipeline.sample.batches import queue_batch
from pipeline.sample.png import parse_parameters

ROOT = Path(__file__).resolve().parents[2]

_RUN = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
from test_sample_stage import view
from pipeline.diffusion.models import load_base
from pipeline.chain.paths import Layout
from pipeline.inputs.base_models.identity import base_files, base_hash
from pipeline.sample import stage
stage.run(view({model!r}, **{changes!r}), 2, Layout(Path({root!r})), "cpu")
"""


def view(model, **changes):
    values = {"model": str(model), "resolution": 64, "steps": 4, "sample_batch": 2, "cfg": 2.0, "schedule": "exponential"}
    return View(check({"iterations": {"1": {"prev": 0}}, **values, **changes}), "sample")


@pytest.fixture
def chain(tiny_model, tmp_path):
    """A chain whose M_2 is trained."""
    layout = Layout(tmp_path / "chain")
    files = base_files(tiny_model)
    record = {"files": files, "model": str(tiny_model), "sha256": base_hash(files), "vae": None}
    write_json(layout.base_record(), record)
    write_jsonl(layout.prompts, [{"index": i, "name": f"n{i}", "prompt": prompt} for i, prompt in enumerate(PROMPTS)])
    layout.model(2).mkdir(parents=True)
    write_random_lora(tiny_model, layout.lora(2), size=0.03)
    return layout


def _bytes(layout: Layout) -> dict[str, bytes]:
    """Every file of D_2 and its traces."""
    files = [*sorted(layout.images(2).rglob("*")), layout.traces(2)]
    return {path.relative_to(layout.root).as_posix(): path.read_bytes() for path in files}


def _copy(layout: Layout, name: str) -> Layout:
    return Layout(Path(shutil.copytree(layout.root, layout.root.with_name(name))))


def test_images_manifest_lineage_and_traces_agree(tiny_model, chain):
    stage.run(view(tiny_model, images_per_prompt=2, seed=9), 2, chain, "cpu")
    rows = read_jsonl(chain.manifest(2))
    assert [(row["prompt_index"], row["image_index"]) for row in rows] == [(i, j) for i in range(5) for j in range(2)]
    assert {path.name for path in chain.images(2).iterdir()} == {row["file"] for row in rows} | {"manifest.jsonl"}
    for row in rows:
        path = chain.images(2) / row["file"]
        assert row["sha256"] == sha256_file(path)
        assert row["seed"] == image_seed(9, 2, row["prompt_index"], row["image_index"])
        with Image.open(path) as image:
            text = parse_parameters(image.info["parameters"])
            assert (image.size, text["Prompt"], text["Seed"]) == ((64, 64), row["prompt"], str(row["seed"]))
        assert text["Iteration"] == "2" and text["Lora sha256"] == sha256_file(chain.lora(2))
    traces, _ = load_tensors(chain.traces(2))
    assert {name: tuple(tensor.shape) for name, tensor in traces.items()} == {
        "diff_norm": (10, 4), "latents": (10, 4, 8, 8), "sigmas": (4,), "scales": (4,),
    }  # fmt: skip
    torch.testing.assert_close(traces["scales"], 2 * torch.exp(-2 * torch.arange(4) / 4))
    assert not chain.scratch.exists() or not any(chain.scratch.rglob("*.png"))


def test_the_recorded_latents_decode_to_the_images(tiny_model, chain):
    from pipeline.sample.sampler import decode

    stage.run(view(tiny_model), 2, chain, "cpu")
    pixels = decode(load_base(tiny_model), load_tensors(chain.traces(2))[0]["latents"])[0].numpy()
    for row, expected in zip(read_jsonl(chain.manifest(2)), pixels, strict=True):
        with Image.open(chain.images(2) / row["file"]) as image:
            assert np.abs(np.asarray(image).astype(int) - expected).max() <= 1


def test_a_killed_run_goes_on_to_the_same_bytes(tiny_model, chain, monkeypatch):
    changes = {"images_per_prompt": 3, "steps": 9}
    undisturbed = _copy(chain, "undisturbed")
    process = _start(_RUN.format(here=str(Path(__file__).parent), model=str(tiny_model), changes=changes, root=str(chain.root)))
    finished = _wait_for_batches(chain, process, 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not chain.images(2).exists(), "killed in mid-run"
    drawn = []
    monkeypatch.setattr(batches, "queue_batch", lambda *arguments: drawn.append(1) or queue_batch(*arguments))
    stage.run(view(tiny_model, **changes), 2, chain, "cpu")
    assert len(drawn) <= 8 - finished, "finished batches are not drawn again"
    stage.run(view(tiny_model, **changes), 2, undisturbed, "cpu")
    assert _bytes(chain) == _bytes(undisturbed)


def _start(script: str) -> subprocess.Popen:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    threads = str(torch.get_num_threads())
    return subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": threads})


def _wait_for_batches(layout: Layout, process: subprocess.Popen, count: int) -> int:
    """Wait until `count` batches are finished -> how many there are."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline and process.poll() is None:
        finished = [path for path in layout.scratch.glob("sample/*/*") if not path.name.startswith(".")]
        if len(finished) >= count:
            return len(finished)
        time.sleep(0.005)
    raise AssertionError("the run ended, or drew nothing, before it could be killed")


def test_another_iteration_draws_other_noise_and_other_settings_do_not_resume(tiny_model, chain, monkeypatch):
    stage.run(view(tiny_model), 2, chain, "cpu")
    first = _bytes(chain)
    shutil.copytree(chain.model(2), chain.model(3))
    stage.run(view(tiny_model), 3, chain, "cpu")
    seeds = [{row["seed"] for row in read_jsonl(chain.manifest(k))} for k in (2, 3)]
    assert not seeds[0] & seeds[1]
    _stop_after(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        stage.run(view(tiny_model, cfg=5.0), 2, chain, "cpu")
    monkeypatch.undo()
    stage.run(view(tiny_model), 2, chain, "cpu")
    assert _bytes(chain) == first


def _stop_after(monkeypatch, count: int) -> None:
    """Let `count` batches be drawn, and then break off."""
    left = iter(range(count))

    def limited(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return queue_batch(*arguments)

    monkeypatch.setattr(batches, "queue_batch", limited)


def test_a_full_disk_keeps_what_is_finished_and_the_old_images(tiny_model, chain, monkeypatch):
    undisturbed = _copy(chain, "undisturbed")
    stage.run(view(tiny_model), 2, undisturbed, "cpu")
    chain.images(2).mkdir(parents=True)
    (chain.images(2) / "old.png").write_bytes(b"old")

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(outputs, "link_or_copy", full)
    with pytest.raises(UserError, match="No space left on device"):
        stage.run(view(tiny_model), 2, chain, "cpu")
    assert [path.name for path in chain.images(2).iterdir()] == ["old.png"]
    monkeypatch.undo()
    monkeypatch.setattr(batches, "queue_batch", None)
    stage.run(view(tiny_model), 2, chain, "cpu")
    assert _bytes(chain) == _bytes(undisturbed)


def test_too_little_room_is_said_before_anything_is_drawn(tiny_model, chain, monkeypatch):
    monkeypatch.setattr(batches, "free_bytes", lambda folder: 1000)
    monkeypatch.setattr(batches, "queue_batch", None)
    with pytest.raises(UserError, match="D_2 may need .* MiB free"):
        stage.run(view(tiny_model), 2, chain, "cpu")


def test_nan_names_the_image_and_keeps_the_batches_before_it(tiny_model, chain, monkeypatch):
    def poisoned(model, conditions, unconditional, seeds, *rest):
        drawn = queue_batch(model, conditions, unconditional, seeds, *rest)
        if image_seed(0, 2, 3) in seeds:
            latents = drawn.latents.clone()
            latents[list(seeds).index(image_seed(0, 2, 3)), 0, 0, 0] = float("nan")
            return replace(drawn, latents=latents)
        return drawn

    monkeypatch.setattr(batches, "queue_batch", poisoned)
    with pytest.raises(UserError, match="00003.png of D_2 has NaN"):
        stage.run(view(tiny_model), 2, chain, "cpu")
    assert not chain.images(2).exists()
    assert len(list(chain.scratch.glob("sample/*/*/*.png"))) == 2


def test_a_vae_that_makes_nan_of_whole_latents_draws_no_black_images(tiny_model, chain, monkeypatch):
    def poisoned(*arguments):
        model = load_merged(*arguments)
        with torch.no_grad():
            model.vae.decoder.conv_out.bias[0] = float("nan")
        return model

    load_merged = stage.load_merged
    monkeypatch.setattr(stage, "load_merged", poisoned)
    with pytest.raises(UserError, match="00000.png of D_2 has NaN or infinity in its latents or pixels"):
        stage.run(view(tiny_model), 2, chain, "cpu")
    assert not chain.images(2).exists()


@pytest.mark.parametrize("damage", ["missing", "shape", "base", "record", "prompts"])
def test_what_does_not_fit_is_refused_in_one_sentence(tiny_model, chain, damage):
    if damage == "missing":
        chain.lora(2).unlink()
        expected = "lora.safetensors does not exist"
    elif damage == "shape":
        tensors, _ = load_tensors(chain.lora(2))
        save_tensors(
            chain.lora(2), {name: tensor[..., :3] if "lora_down" in name else tensor for name, tensor in tensors.items()}
        )
        expected = "another shape"
    elif damage == "record":
        write_json(chain.base_record(), {})
        expected = "base.json lacks sha256"
    elif damage == "prompts":
        write_jsonl(chain.prompts, [])
        expected = "prompts.jsonl lists no prompt"
    else:
        write_json(chain.base_record(), {"files": {}, "model": str(tiny_model), "sha256": "0" * 64, "vae": None})
        expected = "is not the model that"
    with pytest.raises(UserError, match=expected):
        stage.run(view(tiny_model), 2, chain, "cpu")


def test_prompts_of_ones_own_are_drawn_without_touching_other_files(tiny_model, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    lora = write_random_lora(tiny_model, tmp_path / "style.safetensors", size=0.03)
    arguments = {"schedule": "exponential", "steps": 3, "batch": 2}
    written = own_prompts.sample_prompts(str(tiny_model), lora, PROMPTS, tmp_path, **arguments)
    with Image.open(written[1]) as image:
        text = parse_parameters(image.info["parameters"])
    assert image.size == (64, 64)
    assert text["Prompt"] == PROMPTS[1] and text["Schedule"] == "exponential(7.5, decay 2)"
    # As sd-scripts (precalculate_safetensors_hashes) and A1111 name a LoRA: by what stands behind its header.
    with safe_open(lora, "np") as file:
        behind = sum(file.get_tensor(name).nbytes for name in file.keys())  # noqa: SIM118
    tensors = hashlib.sha256(lora.read_bytes()[-behind:]).hexdigest()
    assert text["Lora hashes"] == f"style: {tensors[:12]}" and "Iteration" not in text
    plain = own_prompts.sample_prompts(str(tiny_model), None, PROMPTS, tmp_path / "plain", **arguments)
    assert plain[1].read_bytes() != written[1].read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {
        "mine.txt", "style.safetensors", "plain", "manifest.jsonl", *(path.name for path in written),
    }  # fmt: skip


def test_a_vae_in_the_place_of_the_models_own_decodes_ones_own_prompts(tiny_model, tmp_path):
    shutil.copytree(tiny_model / "vae", tmp_path / "vae")
    weights = next((tmp_path / "vae").glob("*.safetensors"))
    tensors, _ = load_tensors(weights)
    black = {name: torch.full_like(t, -9.0) if name == "decoder.conv_out.bias" else t for name, t in tensors.items()}
    save_tensors(weights, black)
    drawn = own_prompts.sample_prompts(str(tiny_model), None, PROMPTS[:1], tmp_path / "out", steps=2, vae=str(tmp_path / "vae"))
    assert np.asarray(Image.open(drawn[0])).max() == 0


def test_a_size_that_latents_cannot_have_is_refused(tiny_model, tmp_path):
    with pytest.raises(UserError, match="multiple of 8 pixels, got 60"):
        own_prompts.sample_prompts(str(tiny_model), None, PROMPTS, tmp_path, size=60)
