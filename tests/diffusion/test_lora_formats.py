"""LoRAs in every format that people have: merged to the weights that diffusers' own loader gives, or refused by their kind."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from torch import nn

from inputs.base_models.originals import unet_key
from pipeline.core.errors import UserError
from pipeline.diffusion import lora
from pipeline.diffusion.families.layouts import LAYOUTS
from pipeline.diffusion.families.original_names import original_name
from pipeline.diffusion.judgement.tensors import built
from pipeline.diffusion.models import load_base

Tensors = dict[str, torch.Tensor]
ATTENTION = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
MIXED = [ATTENTION, "mid_block.attentions.0.proj_in", "up_blocks.1.attentions.1.transformer_blocks.0.ff.net.0.proj"]
CONVOLUTIONS = ["down_blocks.0.resnets.0.conv1", "down_blocks.1.resnets.0.conv_shortcut", "up_blocks.0.upsamplers.0.conv",
                "down_blocks.0.downsamplers.0.conv", "down_blocks.0.resnets.1.time_emb_proj"]  # fmt: skip
TEXT = "text_model.encoder.layers.0.self_attn.q_proj"


@pytest.fixture(params=["tiny_model", "tiny_xl"])
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


def is_xl(folder: Path) -> bool:
    return (folder / "text_encoder_2").is_dir()


def halves(layer: nn.Module, rank: int = 2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random down and up of a layer: [r,in,k,k] and [out,r,1,1] of a convolution."""
    chance = torch.Generator().manual_seed(seed)
    out, into, *kernel = layer.get_parameter("weight").shape
    down = torch.randn(rank, into, *kernel, generator=chance)
    return down, torch.randn(out, rank, *[1 for _ in kernel], generator=chance)


def changes(unet: nn.Module, names: list[str]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    return {name: halves(unet.get_submodule(name), seed=i) for i, name in enumerate(names)}


def kohya(prefix: str, found: dict[str, tuple[torch.Tensor, torch.Tensor]], alpha: float | None = 1.0) -> Tensors:
    tensors: Tensors = {}
    for name, (down, up) in found.items():
        layer = f"{prefix}{name.replace('.', '_')}"
        tensors |= {f"{layer}.lora_down.weight": down, f"{layer}.lora_up.weight": up}
        tensors |= {} if alpha is None else {f"{layer}.alpha": torch.tensor(alpha)}
    return tensors


def merged(folder: Path, file: Path) -> Any:
    model = load_base(folder)
    lora.merge(model, file)
    return model


def fused(folder: Path, file: Path) -> Any:
    """diffusers' pipeline with the LoRA that it reads itself in its weights."""
    pipe: Any = DiffusionPipeline.from_pretrained(folder)
    pipe.load_lora_weights(file.parent, weight_name=file.name, local_files_only=True)
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    return pipe


def assert_merged_as_diffusers_does(folder: Path, file: Path) -> None:
    ours, theirs, before = merged(folder, file), fused(folder, file), load_base(folder)
    parts = ["unet", "text_encoder", *(["text_encoder_2"] if is_xl(folder) else [])]
    changed = 0
    for part in parts:
        own, other, old = (dict(getattr(one, part).named_parameters()) for one in (ours, theirs, before))
        assert own.keys() == other.keys()
        for name, weight in own.items():
            torch.testing.assert_close(weight, other[name].to(weight.dtype), rtol=1e-4, atol=1e-5)
            changed += not torch.equal(weight, old[name])
    assert changed


def test_kohyas_format_with_and_without_alpha(tiny_model: Path, tmp_path: Path) -> None:
    unet = load_base(tiny_model).denoiser
    for alpha in (1.0, None):
        save_file(kohya("lora_unet_", changes(unet, MIXED), alpha), tmp_path / "k.safetensors")
        assert_merged_as_diffusers_does(tiny_model, tmp_path / "k.safetensors")


def test_convolutions_of_a_locon_are_merged_exactly(tiny_model: Path, tmp_path: Path) -> None:
    unet = load_base(tiny_model).denoiser
    file = tmp_path / "locon.safetensors"
    names = [name for name in CONVOLUTIONS if name in dict(unet.named_modules())]
    assert len(names) >= 4
    save_file(kohya("lora_unet_", changes(unet, [*MIXED, *names])), file)
    found = merged(tiny_model, file).denoiser
    x = torch.randn(2, unet.get_submodule(CONVOLUTIONS[0]).in_channels, 8, 8)
    down, up = changes(unet, [*MIXED, *names])[CONVOLUTIONS[0]]
    both = nn.functional.conv2d(nn.functional.conv2d(x, down, padding=1), up) * 0.5
    expected = unet.get_submodule(CONVOLUTIONS[0])(x) + both
    torch.testing.assert_close(found.get_submodule(CONVOLUTIONS[0])(x), expected, rtol=1e-4, atol=1e-3)
    assert_merged_as_diffusers_does(tiny_model, file)


def test_an_sdxl_lora_with_diffusers_block_names_is_one_of_sdxl(tiny_xl: Path, tmp_path: Path) -> None:
    unet = load_base(tiny_xl).denoiser
    found = changes(unet, [*MIXED, "down_blocks.0.resnets.0.conv1", "add_embedding.linear_1"])
    theirs = {original_name(name, 2, True): pair for name, pair in found.items()}
    save_file(kohya("lora_unet_", found), tmp_path / "diffusers.safetensors")
    save_file(kohya("lora_unet_", theirs), tmp_path / "original.safetensors")
    one, other = (merged(tiny_xl, tmp_path / f"{name}.safetensors").denoiser for name in ("diffusers", "original"))
    assert all(torch.equal(*pair) for pair in zip(one.parameters(), other.parameters(), strict=True))
    assert any(not torch.equal(*pair) for pair in zip(one.parameters(), unet.parameters(), strict=True))


def test_kohyas_sdxl_names_are_merged_as_diffusers_merges_them(tiny_xl: Path, tmp_path: Path) -> None:
    model = load_base(tiny_xl)
    names = {"lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q": "down_blocks.1.attentions.0.transformer_blocks.0."
             "attn1.to_q", "lora_unet_middle_block_1_proj_in": "mid_block.attentions.0.proj_in"}  # fmt: skip
    tensors: Tensors = {}
    for name, path in names.items():
        tensors |= kohya("", {name: halves(model.denoiser.get_submodule(path))})
    for i, encoder in (("1", model.text_encoder), ("2", model.text_encoder_2)):
        tensors |= kohya(f"lora_te{i}_", changes(encoder, [TEXT, TEXT.replace("q_proj", "out_proj")]))
    save_file(tensors, tmp_path / "xl.safetensors")
    assert_merged_as_diffusers_does(tiny_xl, tmp_path / "xl.safetensors")


@pytest.mark.parametrize("root", [False, True], ids=["alpha", "rslora"])
def test_what_diffusers_saves_is_merged_with_its_alpha(folder: Path, tmp_path: Path, root: bool) -> None:
    pipe: Any = DiffusionPipeline.from_pretrained(folder)
    config = LoraConfig(r=4, lora_alpha=6, use_rslora=root, init_lora_weights="gaussian", target_modules=["to_q", "conv1"])
    pipe.unet.add_adapter(config)
    chance = torch.Generator().manual_seed(0)
    for name, parameter in pipe.unet.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=chance)
    from peft.utils import get_peft_model_state_dict

    layers = get_peft_model_state_dict(pipe.unet)
    metadata = {"unet_lora_adapter_metadata": pipe.unet.peft_config["default"].to_dict()}
    pipe.save_lora_weights(tmp_path, unet_lora_layers=layers, **metadata)
    assert_merged_as_diffusers_does(folder, tmp_path / "pytorch_lora_weights.safetensors")


@pytest.mark.parametrize("form", ["processor", "lora.down", "lora_A without metadata"])
def test_older_files_of_diffusers_are_merged(tiny_model: Path, tmp_path: Path, form: str) -> None:
    model = load_base(tiny_model)
    (down, up), (text_down, text_up) = (
        halves(model.unet.get_submodule(ATTENTION)),
        halves(model.text_encoder.get_submodule(TEXT)),
    )
    block, _, last = ATTENTION.rpartition(".")
    ends = {
        "processor": (f"unet.{block}.processor.{last}_lora.down.weight", f"unet.{block}.processor.{last}_lora.up.weight"),
        "lora.down": (f"unet.{ATTENTION}.lora.down.weight", f"unet.{ATTENTION}.lora.up.weight"),
        "lora_A without metadata": (f"unet.{ATTENTION}.lora_A.weight", f"unet.{ATTENTION}.lora_B.weight"),
    }[form]
    text = [f"text_encoder.{TEXT}.lora_linear_layer.{half}.weight" for half in ("down", "up")]
    text = [f"text_encoder.{TEXT}.lora_{half}.weight" for half in "AB"] if "lora_A" in form else text
    save_file({ends[0]: down, ends[1]: up, text[0]: text_down, text[1]: text_up}, tmp_path / "x.safetensors")
    assert_merged_as_diffusers_does(tiny_model, tmp_path / "x.safetensors")


def test_a_peft_adapter_is_merged_as_peft_merges_it(tiny_model: Path, tmp_path: Path) -> None:
    unet = load_base(tiny_model).unet
    adapter = get_peft_model(unet, LoraConfig(r=2, lora_alpha=5, target_modules=["to_k", "proj_in"], init_lora_weights=False))
    adapter.save_pretrained(tmp_path)
    expected = PeftModel.from_pretrained(load_base(tiny_model).unet, tmp_path).merge_and_unload()
    found = merged(tiny_model, tmp_path / "adapter_model.safetensors").unet
    for name, weight in expected.named_parameters():
        torch.testing.assert_close(found.get_parameter(name), weight, rtol=1e-4, atol=1e-5)
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(UserError, match=r"keeps its scale in adapter_config\.json; put that file beside it"):
        merged(tiny_model, tmp_path / "adapter_model.safetensors")


@pytest.mark.parametrize("kind", ["pissa", "pissa_niter_2", "olora"])
def test_a_lora_beside_a_changed_model_is_refused(tiny_model: Path, tmp_path: Path, kind: str) -> None:
    """PEFT subtracts from the model's weights what such a LoRA starts with: adding it to the model as it is would be wrong."""
    config = LoraConfig(r=2, lora_alpha=2, target_modules=["to_q"], init_lora_weights=kind)
    get_peft_model(load_base(tiny_model).unet, config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=rf"a LoRA beside a changed model \(init_lora_weights: {kind}\); save it again"):
        merged(tiny_model, tmp_path / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"peft_type": "LOHA", "r": 2}, r"of an adapter of another kind \(peft_type: LOHA\)"),
        ({"lora_alpha": 2, "layer_replication": [[0, 2]]}, r"says layer_replication: \[\[0, 2\]\], which is not known here"),
        ({"lora_alpha": 2, "init_lora_weights": "corda"}, "a LoRA beside a changed model"),
        ({"lora_alpha": 2, "from_the_future": 3}, "says from_the_future: 3, which is not known here"),
    ],
)
def test_settings_of_peft_that_are_not_known_are_asked_about(tmp_path: Path, settings: dict[str, Any], sentence: str) -> None:
    layer = f"base_model.model.{ATTENTION}"
    save_file(
        {f"{layer}.lora_A.weight": torch.ones(2, 2), f"{layer}.lora_B.weight": torch.ones(2, 2)}, tmp_path / "x.safetensors"
    )
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match=sentence):
        lora.load(tmp_path / "x.safetensors")


def test_layers_of_several_ranks_without_alpha_are_asked_about(tiny_model: Path, tmp_path: Path) -> None:
    """diffusers scales all layers by the rank of the one that comes first in the file, others each by its own."""
    unet, file = load_base(tiny_model).unet, tmp_path / "mixed.safetensors"
    tensors: Tensors = {}
    for name, rank in ((ATTENTION, 3), (ATTENTION.replace("to_q", "to_k"), 5)):
        down, up = halves(unet.get_submodule(name), rank)
        tensors |= {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}
    save_file(tensors, file)
    with pytest.raises(UserError, match="has layers of the ranks 3, 5 and does not say alpha"):
        lora.load(file)
    save_file(tensors, file, {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": 4, "unet.r": 3})})
    assert [layer.scale for layer in lora.load(file).values()] == [4 / layer.rank for layer in lora.load(file).values()]


def test_a_lora_of_one_of_two_text_encoders_has_to_say_of_which(tiny_xl: Path, tmp_path: Path) -> None:
    encoder = load_base(tiny_xl).text_encoder
    config = LoraConfig(r=2, lora_alpha=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(encoder, config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="does not say which text encoder of SDXL it changes; use a LoRA in diffusers'"):
        merged(tiny_xl, tmp_path / "adapter_model.safetensors")


OTHER_KINDS: dict[str, tuple[str, str]] = {
    "DoRA": ("lora_unet_a.dora_scale", "is a DoRA"),
    "PEFT's DoRA": ("unet.a.lora_magnitude_vector", "is a DoRA"),
    "LoHa": ("lora_unet_a.hada_w1_a", "is a LoHa"),
    "LoKr": ("lora_unet_a.lokr_w1", "is a LoKr"),
    "Tucker": ("lora_unet_a.lora_mid.weight", "is a LoCon in Tucker form"),
    "full": ("lora_unet_a.diff", "is a full change of weights"),
    "biases": ("unet.a.lora_B.bias", "is a LoRA with biases"),
    "no LoRA": ("model.diffusion_model.out.2.weight", "which is no key of a LoRA"),
}


@pytest.mark.parametrize(("key", "sentence"), OTHER_KINDS.values(), ids=list(OTHER_KINDS))
def test_what_is_no_plain_lora_is_refused_by_name(tmp_path: Path, key: str, sentence: str) -> None:
    save_file({key: torch.ones(2, 2)}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match=sentence):
        lora.load(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"ss_v2": "True"}, "from Stable Diffusion 2"),
        ({"ss_v_parameterization": "True"}, "from a model that predicts v"),
        ({"ss_zero_terminal_snr": "True"}, "from a model of zero terminal SNR"),
        ({"modelspec.prediction_type": "v"}, "whose prediction type is v"),
        ({"modelspec.architecture": "stable-diffusion-v2-768-v/lora"}, "architecture stable-diffusion-v2-768-v"),
    ],
)
def test_a_lora_of_another_noise_or_model_is_refused_by_its_metadata(
    tmp_path: Path, metadata: dict[str, str], sentence: str
) -> None:
    tensors = {"lora_unet_a.lora_down.weight": torch.ones(2, 2), "lora_unet_a.lora_up.weight": torch.ones(2, 2)}
    save_file(tensors, tmp_path / "x.safetensors", metadata)
    with pytest.raises(UserError, match=sentence):
        lora.load(tmp_path / "x.safetensors")


def published_halves(kind: str, name: str, path: str) -> Tensors:
    layer = built("unet", LAYOUTS[kind].published()["unet"]).get_submodule(path)
    out, into = layer.get_parameter("weight").shape[:2]
    return {f"{name}.lora_down.weight": torch.ones(2, into), f"{name}.lora_up.weight": torch.ones(out, 2)}


def test_the_family_is_told_by_names_and_where_these_fit_both_by_shapes(tiny_model: Path, tmp_path: Path) -> None:
    xl = "lora_unet_down_blocks_2_attentions_0_transformer_blocks_5_attn1_to_q"
    save_file(
        published_halves("sdxl", xl, "down_blocks.2.attentions.0.transformer_blocks.5.attn1.to_q"), tmp_path / "xl.safetensors"
    )
    with pytest.raises(UserError, match=r"is a LoRA of SDXL, and the model is Stable Diffusion 1\.x"):
        merged(tiny_model, tmp_path / "xl.safetensors")
    both = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    path = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    for kind, name in (("sdxl", "SDXL"), ("sd1", r"Stable Diffusion 1\.x")):
        save_file(published_halves(kind, both, path), tmp_path / "both.safetensors")
        with pytest.raises(UserError, match=f"is a LoRA of {name}, whose layers have other shapes"):
            merged(tiny_model, tmp_path / "both.safetensors")
    two = {f"{both}.lora_down.weight": torch.ones(2, 1024), f"{both}.lora_up.weight": torch.ones(640, 2)}
    save_file(two, tmp_path / "two.safetensors")
    with pytest.raises(UserError, match="is a LoRA of Stable Diffusion 2, whose layers"):
        merged(tiny_model, tmp_path / "two.safetensors")


def test_one_layer_under_two_names_is_refused(tiny_xl: Path, tmp_path: Path) -> None:
    unet = load_base(tiny_xl).denoiser
    pair = halves(unet.get_submodule(ATTENTION))
    twice = kohya("lora_unet_", {ATTENTION: pair}) | kohya("lora_unet_", {original_name(ATTENTION, 2, True): pair})
    save_file({name: tensor.clone() for name, tensor in twice.items()}, tmp_path / "twice.safetensors")
    with pytest.raises(UserError, match="changes one layer twice"):
        merged(tiny_xl, tmp_path / "twice.safetensors")


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_original_names_are_those_of_the_checkpoints(kind: str) -> None:
    unet = built("unet", LAYOUTS[kind].published()["unet"])
    attended = {name.rsplit(".attentions.", 1)[0] for name in unet.state_dict() if ".attentions." in name}
    for name, layer in unet.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            block = ".".join(name.split(".")[:2]) if name.startswith(("down", "up")) else "mid_block"
            assert f"{original_name(name, 2, block in attended)}.weight" == unet_key(f"{name}.weight", 2, attended)


def test_a_file_that_holds_integers_is_refused(tmp_path: Path) -> None:
    save_file({"lora_unet_a.lora_down.weight": torch.ones(2, 2, dtype=torch.int8)}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="not as floating-point numbers"):
        lora.load(tmp_path / "x.safetensors")
