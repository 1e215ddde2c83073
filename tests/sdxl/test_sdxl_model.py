"""SDXL is recognised by its folder; what does not belong to it is refused in one sentence."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL

from pipeline.core.errors import UserError
from pipeline.diffusion import lora
from pipeline.diffusion.families import FAMILIES
from pipeline.diffusion.families.sd1.model import StableDiffusion
from pipeline.diffusion.families.sdxl.model import StableDiffusionXL
from pipeline.diffusion.families.sdxl.sd_scripts import set_sizes
from pipeline.diffusion.models import load_base
from pipeline.train import stage
from pipeline.train.condition_drop import drop_conditions, dropped
from sample.drawing import write_random_lora
from train.train_project import view, write_project

PROMPTS = ["a round red creature", "two blue eyes (striped)", "horns"]


@pytest.fixture(scope="module")
def model(tiny_xl: Path) -> StableDiffusion:
    return load_base(tiny_xl)


def test_a_folder_with_two_text_encoders_is_an_sdxl(model: StableDiffusion, tiny_model: Path) -> None:
    assert isinstance(model, StableDiffusionXL)
    assert not isinstance(load_base(tiny_model), StableDiffusionXL)


@pytest.mark.parametrize("part", ["tokenizer_2", "text_encoder", "unet", "vae"])
def test_a_missing_part_is_named(tmp_path: Path, tiny_xl: Path, part: str) -> None:
    shutil.copytree(tiny_xl, tmp_path / "model")
    shutil.rmtree(tmp_path / "model" / part)
    # Without its first text encoder, an SDXL looks like the refiner.
    with pytest.raises(UserError, match=f"model cannot be used: .*({part}|refiner)"):
        load_base(tmp_path / "model")


def test_the_vae_of_another_family_is_refused(tiny_xl: Path, tiny_model: Path) -> None:
    with pytest.raises(UserError, match=r"vae is a VAE of Stable Diffusion 1\.x, the model is SDXL; set vae to"):
        load_base(tiny_xl, tiny_model / "vae")
    with pytest.raises(UserError, match=r"is a VAE of SDXL, the model is Stable Diffusion 1\.x"):
        load_base(tiny_model, tiny_xl / "vae")


@pytest.mark.parametrize("clip_skip", [1, 3])
def test_another_clip_skip_is_refused(model: StableDiffusion, clip_skip: int) -> None:
    with pytest.raises(UserError, match="clip_skip must be 2 for an SDXL model"):
        model.encode(model.tokenize(PROMPTS), clip_skip)


def test_a_lora_of_the_other_family_is_refused(tiny_xl: Path, tiny_model: Path, tmp_path: Path) -> None:
    first = write_random_lora(tiny_model, tmp_path / "sd.safetensors")
    xl = write_random_lora(tiny_xl, tmp_path / "xl.safetensors")
    with pytest.raises(UserError, match=r"sd\.safetensors is a LoRA of Stable Diffusion 1\.x, and the model is SDXL"):
        lora.merge(load_base(tiny_xl), first)
    with pytest.raises(UserError, match=r"xl\.safetensors is a LoRA of SDXL, and the model is Stable Diffusion 1\.x"):
        lora.merge(load_base(tiny_model), xl)


def test_half_precision_leaves_the_vae_in_float32(tiny_xl: Path) -> None:
    model = load_base(tiny_xl, dtype=torch.bfloat16)
    assert {part.dtype for part in (model.unet, model.text_encoder, model.text_encoder_2)} == {torch.bfloat16}
    assert model.vae.dtype == torch.float32 == model.to("cpu", torch.float16).vae.dtype


@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_no_dtype_keeps_what_the_files_have(tiny_model: Path, tmp_path: Path, stored: torch.dtype) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    whole = load_base(tiny_model)
    for part in ("text_encoder", "unet"):
        getattr(whole, part).to(stored).save_pretrained(tmp_path / "model" / part)
    kept, exact = load_base(tmp_path / "model", dtype=None), load_base(tmp_path / "model")
    assert kept.unet.dtype == kept.text_encoder.dtype == stored and kept.vae.dtype == torch.float32
    assert all(torch.equal(a.float(), b) for a, b in zip(kept.unet.parameters(), exact.unet.parameters(), strict=True))


def test_a_lora_is_added_before_the_only_rounding(tiny_model: Path, tmp_path: Path) -> None:
    path = write_random_lora(tiny_model, tmp_path / "x.safetensors")
    once, exact = load_base(tiny_model, dtype=None), load_base(tiny_model)
    lora.merge(once, path, dtype=torch.bfloat16)
    lora.merge(exact, path)
    once.to("cpu", torch.bfloat16)
    for rounded, full in zip(once.unet.parameters(), exact.unet.parameters(), strict=True):
        assert torch.equal(rounded, full.to(torch.bfloat16))


def test_dropping_a_sample_drops_all_three_conditions(model: StableDiffusion) -> None:
    """Both encoders' states and the pooled embedding become the empty prompt's; the other samples keep theirs."""
    ids, empty = model.tokenize(PROMPTS, 150), model.tokenize([""], 150)
    seed = next(seed for seed in range(99) if 0 < dropped(3, 0.5, seed, step=0).sum() < 3)
    gone = dropped(3, 0.5, seed, step=0)
    with torch.no_grad():
        before, blank = model.encode(ids), model.encode(empty)
        after = model.encode(drop_conditions(ids, empty, 0.5, seed, step=0))
    torch.testing.assert_close(after[gone], blank.expand(int(gone.sum()), -1, -1))
    torch.testing.assert_close(after[~gone], before[~gone])
    change = (before - blank)[gone].abs()
    first, second, pooled = change[:, :-1, :32], change[:, :-1, 32:], change[:, -1, :40]
    assert min(float(part.max()) for part in (first, second, pooled)) > 1e-3


def test_a_vae_that_does_not_say_its_scale_is_a_stable_diffusion_1_one() -> None:
    """As sd-vae-ft-mse does not: its config is older than the key."""
    assert AutoencoderKL().config.scaling_factor == FAMILIES["sd1"].latent_scale != FAMILIES["sdxl"].latent_scale


def test_bfloat16_of_stable_diffusion_1_on_a_cpu_is_not_for_sd_scripts(tiny_model: Path, tmp_path: Path) -> None:
    layout = write_project(tmp_path, tiny_model)
    (tmp_path / "vendor/sd-scripts").mkdir(parents=True)
    (tmp_path / "vendor/sd-scripts/train_network.py").touch()
    with pytest.raises(UserError, match=r"trains no Stable Diffusion 1\.x in bf16 on a CPU; set precision: fp32 or trainer"):
        stage.run(view(trainer="kohya", precision="bf16"), 1, layout, "cpu")


def test_training_refuses_another_clip_skip_before_it_starts(tiny_xl: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="clip_skip must be 2 for an SDXL model"):
        stage.run(view(clip_skip=1), 1, write_project(tmp_path, tiny_xl), "cpu")


@pytest.mark.parametrize(
    ("part", "key", "value"), [("unet", "transformer_layers_per_block", [1, 2, 4]), ("text_encoder", "num_hidden_layers", 8)]
)
def test_an_sdxl_that_sd_scripts_cannot_build_is_named(
    tmp_path: Path, tiny_xl: Path, part: str, key: str, value: object
) -> None:
    for name in ("unet", "text_encoder"):
        (tmp_path / name).mkdir()
        config = json.loads((tiny_xl / name / "config.json").read_text())
        (tmp_path / name / "config.json").write_text(json.dumps(config | ({key: value} if name == part else {})))
    with pytest.raises(UserError, match=f"{part}/config.json: {key} is .*sd-scripts needs .*; trainer: builtin"):
        set_sizes(str(tmp_path))
