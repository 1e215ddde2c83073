"""LoRA files: which layers, merging, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline.core.errors import UserError
from pipeline.core.tensors import load_tensors, save_tensors
from pipeline.diffusion import lora
from pipeline.diffusion.families.sd1.model import StableDiffusion
from pipeline.diffusion.lora_targets import target_modules
from pipeline.diffusion.models import load_base

LINEAR = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
CONV = "lora_unet_down_blocks_0_attentions_0_proj_in"


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> StableDiffusion:
    return load_base(tiny_model)


@pytest.fixture
def weights(model: StableDiffusion) -> dict[str, lora.LowRank]:
    chance = torch.Generator().manual_seed(0)

    def low_rank(shape: torch.Size) -> lora.LowRank:
        down, up = torch.randn(3, *shape[1:], generator=chance), torch.randn(shape[0], 3, *shape[2:], generator=chance)
        return lora.LowRank(down, up, 1.5)

    modules = target_modules(model)
    return {name: low_rank(modules[name].weight.shape) for name in (LINEAR, CONV)}


def test_targets_are_the_layers_of_stable_diffusion_1(model: StableDiffusion) -> None:
    """192 in the U-Net (16 transformer blocks of 12) and 6 in each layer of the text encoder, as kohya's files have."""
    names = list(target_modules(model))
    assert sum(name.startswith("lora_unet_") for name in names) == 192
    assert sum(name.startswith("lora_te_") for name in names) == 6 * model.text_encoder.config.num_hidden_layers
    assert "lora_unet_up_blocks_3_attentions_2_transformer_blocks_0_ff_net_0_proj" in names
    assert "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_out_0" in names
    assert not any("resnets" in name or "time_emb" in name or "conv" in name for name in names)


@pytest.mark.parametrize(("parts", "prefix"), [("unet", "lora_unet_"), ("text_encoder", "lora_te_")])
def test_targets_can_be_one_part_only(model: StableDiffusion, parts: lora.TrainParts, prefix: str) -> None:
    names = target_modules(model, parts)
    assert names and all(name.startswith(prefix) for name in names)


def test_merging_adds_up_times_down_times_alpha_over_rank(
    tiny_model: Path, weights: dict[str, lora.LowRank], tmp_path: Path
) -> None:
    lora.save(tmp_path / "x.safetensors", weights)
    model, before = load_base(tiny_model), load_base(tiny_model)
    lora.merge(model, tmp_path / "x.safetensors", multiplier=0.5)
    linear = model.text_encoder.text_model.encoder.layers[0].self_attn.q_proj.weight
    linear_before = before.text_encoder.text_model.encoder.layers[0].self_attn.q_proj.weight
    torch.testing.assert_close(linear - linear_before, 0.25 * weights[LINEAR].up @ weights[LINEAR].down, rtol=1e-4, atol=1e-5)
    conv, conv_before = (m.unet.down_blocks[0].attentions[0].proj_in.weight for m in (model, before))
    change = 0.25 * torch.einsum("orhw,rihw->oihw", weights[CONV].up, weights[CONV].down)
    torch.testing.assert_close(conv - conv_before, change, rtol=1e-4, atol=1e-5)
    untouched = (m.unet.down_blocks[0].attentions[0].proj_out.weight for m in (model, before))
    assert torch.equal(*untouched)


def test_merging_with_the_opposite_multiplier_takes_it_back(
    tiny_model: Path, weights: dict[str, lora.LowRank], tmp_path: Path
) -> None:
    lora.save(tmp_path / "x.safetensors", weights)
    model, before = load_base(tiny_model), load_base(tiny_model)
    for multiplier in (1.0, -1.0):
        lora.merge(model, tmp_path / "x.safetensors", multiplier)
    for after, original in zip(model.unet.parameters(), before.unet.parameters(), strict=True):
        torch.testing.assert_close(after, original)


def test_files_have_kohyas_keys_and_equal_weights_give_equal_bytes(weights: dict[str, lora.LowRank], tmp_path: Path) -> None:
    lora.save(tmp_path / "a", weights, {"ss_network_dim": "3", "b": "c"})
    lora.save(tmp_path / "b", dict(reversed(weights.items())), {"b": "c", "ss_network_dim": "3"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    tensors, _ = load_tensors(tmp_path / "a")
    assert set(tensors) == {f"{n}.{s}" for n in (LINEAR, CONV) for s in ("lora_down.weight", "lora_up.weight", "alpha")}
    assert tensors[f"{LINEAR}.alpha"].dtype == torch.float32 and tensors[f"{LINEAR}.alpha"].shape == ()
    assert tensors[f"{CONV}.lora_down.weight"].shape[2:] == (1, 1)


def test_an_integer_alpha_and_a_missing_alpha_are_read(tmp_path: Path) -> None:
    halves = {"x.lora_down.weight": torch.ones(4, 2), "x.lora_up.weight": torch.ones(2, 4)}
    save_tensors(tmp_path / "a", halves | {"x.alpha": torch.tensor(2)})
    save_tensors(tmp_path / "b", halves)
    assert lora.load(tmp_path / "a")["x"].scale == 0.5
    assert lora.load(tmp_path / "b")["x"].scale == 1.0


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        ({f"{LINEAR}.lora_down.weight": torch.ones(2, 7), f"{LINEAR}.lora_up.weight": torch.ones(32, 2)}, "another shape"),
        ({f"{LINEAR}.lora_down.weight": torch.ones(2, 32), f"{LINEAR}.lora_up.weight": torch.ones(32, 3)}, "another shape"),
        ({"lora_unet_no.lora_down.weight": torch.ones(2, 7), "lora_unet_no.lora_up.weight": torch.ones(3, 2)}, "does not have"),
        ({f"{LINEAR}.lora_down.weight": torch.ones(2, 32)}, "lacks lora_up"),
        ({f"{LINEAR}.lora_down.weight": torch.full((2, 32), torch.nan), f"{LINEAR}.lora_up.weight": torch.ones(32, 2)}, "NaN"),
        ({f"{LINEAR}.dora_scale": torch.ones(2)}, "is a DoRA"),
    ],
    ids=["other width", "ranks differ", "unknown layer", "half a layer", "NaN", "another kind"],
)
def test_what_does_not_fit_is_refused_and_nothing_changes(
    tiny_model: Path, weights: dict[str, lora.LowRank], tmp_path: Path, tensors: dict[str, torch.Tensor], problem: str
) -> None:
    lora.save(tmp_path / "good", {CONV: weights[CONV]})
    good, _ = load_tensors(tmp_path / "good")
    save_tensors(tmp_path / "bad", good | tensors)
    model, before = load_base(tiny_model), load_base(tiny_model)
    with pytest.raises(UserError, match=problem):
        lora.merge(model, tmp_path / "bad")
    assert all(torch.equal(*pair) for pair in zip(model.unet.parameters(), before.unet.parameters(), strict=True))


@pytest.mark.parametrize(
    ("down", "up", "alpha"),
    [((), (4, 2), ()), ((0, 4), (4, 0), ()), ((2, 4), (4, 2), (3,)), ((2, 4), (4, 2, 1, 1), ())],
    ids=["scalar", "rank 0", "three alphas", "mixed kinds"],
)
def test_halves_of_odd_shape_are_refused(tmp_path: Path, down: tuple, up: tuple, alpha: tuple) -> None:
    tensors = {"lora_down.weight": torch.ones(down), "lora_up.weight": torch.ones(up), "alpha": torch.ones(alpha)}
    save_tensors(tmp_path / "odd.safetensors", {f"{LINEAR}.{name}": tensor for name, tensor in tensors.items()})
    with pytest.raises(UserError, match=r"odd\.safetensors is a LoRA of another shape"):
        lora.load(tmp_path / "odd.safetensors")


def test_a_file_without_weights_is_no_lora(tmp_path: Path) -> None:
    save_tensors(tmp_path / "none.safetensors", {})
    with pytest.raises(UserError, match="holds no LoRA weights"):
        lora.load(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("down", "up", "alpha"),
    [(float("nan"), 1.0, 1.0), (1.0, float("inf"), 1.0), (float("inf"), 0.0, 1.0), (1e30, 1e30, 1.0), (1.0, 1.0, float("nan"))],
)
def test_a_change_that_is_not_finite_is_refused(tmp_path: Path, down: float, up: float, alpha: float) -> None:
    weights = {"lora_unet_a": lora.LowRank(torch.full((2, 3), down), torch.full((4, 2), up), alpha)}
    with pytest.raises(UserError, match="M_1.* beyond float32, in 'lora_unet_a'"):
        lora.check_finite(weights, Path("models/M_1/lora.safetensors"))
    lora.save(tmp_path / "a.safetensors", weights)
    with pytest.raises(UserError, match="beyond float32"):
        lora.load(tmp_path / "a.safetensors")


def test_a_large_change_that_float32_holds_passes() -> None:
    lora.check_finite({"lora_unet_a": lora.LowRank(torch.full((2, 3), 1e15), torch.full((4, 2), -1e15), 1.0)}, Path("m"))
