"""Every entry that takes a model, VAE or single file judges it alike, or names the command that brings it here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer, CLIPTokenizerFast

from inputs.base_models.test_base_single_file import convert, original, write
from pipeline.cli.application import main
from pipeline.core.errors import UserError
from pipeline.diffusion.models import load_base
from pipeline.inputs.base_models.fetch import fetch
from project import ROOT

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, which is also the working directory, with prompts to draw."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "p.txt").write_text("a creature\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(*arguments: str) -> str:
    """The one sentence that a command ends with."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2 and not Path("samples").exists() and not list(Path().glob("models/base/*")), result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, result.output
    return errors[0]


def every_entry(model: str, vae: str | None = None) -> list[str]:
    """What sample, base check and prepare, and for a model base fetch, say."""
    assert CliRunner().invoke(main, ["set", f"model={model}", f"vae={vae or 'null'}", "prompts=2"]).exit_code == 0
    drawing = ("sample", "--prompts", "p.txt", "--model", model, *(("--vae", vae) if vae else ()))
    return [said(*drawing), said("base", "check"), said("prepare"), *([said("base", "fetch", model)] if vae is None else [])]


def config(part: str, **values: Any) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        path = model / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def weights(
    change: Callable[[dict[str, torch.Tensor]], object], metadata: dict[str, str] | None = None
) -> Callable[[Path], None]:
    def rewrite(model: Path) -> None:
        tensors = load_file(model / UNET)
        change(tensors)
        save_file(tensors, model / UNET, metadata)

    return rewrite


MODELS: dict[str, tuple[Callable[[Path], None], str]] = {
    "v-prediction": (config("scheduler", prediction_type="v_prediction"), "prediction type is v_prediction, not epsilon"),
    "zero terminal SNR": (config("scheduler", rescale_betas_zero_snr=True), "a model of zero terminal SNR"),
    "an EDM schedule": (config("scheduler", _class_name="EDMEulerScheduler"), "a model of another noise (EDMEulerScheduler)"),
    "flow matching": (config("scheduler", _class_name="FlowMatchEulerDiscreteScheduler"), "another noise (FlowMatchEulerDis"),
    "other betas": (config("scheduler", beta_schedule="linear"), "says beta_schedule: linear, not scaled_linear"),
    "a distilled one": (config("scheduler", timestep_spacing="trailing"), "timestep_spacing: trailing, not linspace or lead"),
    "LCM": (config("unet", time_cond_proj_dim=256), "a distilled model whose guidance is built in (LCM)"),
    "pix2pix": (config("unet", in_channels=8), "takes 8 channels"),
    "inpainting": (config("unet", in_channels=9), "takes 9 channels"),
    "SD 2": (config("unet", use_linear_projection=True), "is Stable Diffusion 2"),
    "class embeddings": (config("unet", class_embed_type="timestep"), "unet/config.json says class_embed_type: timestep"),
    "an unknown key": (config("unet", mystery=3), "says mystery: 3, and it is not known here what that means"),
    "latents' mean": (config("vae", latents_mean=[0.1, 0.2, 0.3, 0.4]), "vae/config.json says latents_mean: [0.1, 0.2, 0.3,"),
    "a shift": (config("vae", shift_factor=0.06), "vae/config.json says shift_factor: 0.06"),
    "another scale": (config("vae", scaling_factor=1.5305), "vae/config.json says scaling_factor: 1.5305, not 0.18215"),
    "a text encoder of another kind": (config("text_encoder", model_type="bert"), "says model_type: bert, not clip_te"),
    "a tensor that lacks": (weights(lambda t: t.pop("conv_in.bias")), "the unet lacks the tensor conv_in.bias, which its"),
    "a tensor more": (weights(lambda t: t.update(v_pred=torch.zeros(1))), "has the tensor v_pred, of which its config"),
    "another shape": (weights(lambda t: t.update({"conv_in.bias": torch.zeros(64)})), "the unet has conv_in.bias of the shape"),
    "metadata": (weights(lambda t: None, {"modelspec.prediction_type": "v"}), "whose prediction type is v, not eps"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), MODELS.values(), ids=list(MODELS))
def test_every_entry_refuses_a_model_alike(
    place: Path, tiny_model: Path, change: Callable[[Path], None], sentence: str
) -> None:
    shutil.copytree(tiny_model, place / "m", ignore=shutil.ignore_patterns("clip"))
    change(place / "m")
    found = every_entry("m")
    assert [one for one in found if sentence not in one] == []
    assert len(set(found[:3])) == 1


@pytest.mark.parametrize(
    ("values", "sentence"),
    [({"latents_std": [0.9] * 4}, "says latents_std"), ({"use_quant_conv": False}, "says use_quant_conv: false"),
     ({"_class_name": "AutoencoderTiny"}, "no model in diffusers layout")],
)  # fmt: skip
def test_every_entry_refuses_a_vae_alike(place: Path, tiny_model: Path, values: dict[str, Any], sentence: str) -> None:
    shutil.copytree(tiny_model, place / "m", ignore=shutil.ignore_patterns("clip"))
    shutil.copytree(tiny_model / "vae", place / "v")
    config("", **values)(place / "v")
    assert [one for one in every_entry("m", "v") if sentence not in one] == []


MARKS: dict[str, tuple[dict[str, torch.Tensor], dict[str, str], str]] = {
    "v_pred": ({"v_pred": torch.zeros(1)}, {}, "is a model that predicts v (it has a tensor v_pred)"),
    "ztsnr": ({"ztsnr": torch.zeros(0)}, {}, "is a model of zero terminal SNR"),
    "EDM": ({"edm_mean": torch.zeros(4)}, {}, "is a model of another noise (EDM)"),
    "modelspec": ({}, {"modelspec.prediction_type": "v"}, "prediction type is v, not epsilon"),
    "architecture": ({}, {"modelspec.architecture": "stable-diffusion-v2-768-v"}, "of the architecture stable-diffusion-v2"),
    "kohya's v2": ({}, {"ss_v2": "True"}, "is Stable Diffusion 2 (ss_v2 in its metadata)"),
    "zero SNR": ({}, {"ss_zero_terminal_snr": "True"}, "is a model of zero terminal SNR"),
    "a table of noise": ({"alphas_cumprod": torch.linspace(1, 0, 1000)}, {}, "was trained on another noise schedule"),
    "unknown tensors": ({"mystery.weight": torch.zeros(2)}, {}, "has 1 tensors that are not known here (mystery.weight)"),
    "guidance inside": (
        {"model.diffusion_model.time_embed.cond_proj.weight": torch.zeros(2)},
        {},
        "1 more tensors in its",
    ),
}


@pytest.mark.parametrize(("more", "metadata", "sentence"), MARKS.values(), ids=list(MARKS))
def test_a_single_file_is_judged_by_its_marks_and_metadata(
    root: Path, tiny_model: Path, more: dict[str, torch.Tensor], metadata: dict[str, str], sentence: str
) -> None:
    file = root / "x.safetensors"
    save_file({name: tensor.contiguous().clone() for name, tensor in (original(tiny_model) | more).items()}, file, metadata)
    with pytest.raises(UserError) as error:
        convert(root, file, tiny_model)
    assert sentence in str(error.value) and not (root / "models/base/x").exists()


def test_a_single_file_that_says_epsilon_of_itself_is_taken(root: Path, tiny_model: Path) -> None:
    said = {"modelspec.prediction_type": "epsilon", "modelspec.architecture": "stable-diffusion-v1", "ss_v2": "False"}
    save_file(
        {name: tensor.contiguous().clone() for name, tensor in original(tiny_model).items()}, root / "x.safetensors", said
    )
    assert convert(root, root / "x.safetensors", tiny_model).record["kind"] == "sd1"


def half_names(model: Path) -> None:
    for path in model.glob("*/*.safetensors"):
        path.rename(path.with_name(f"{path.stem}.fp16.safetensors"))


def fast_tokenizer(model: Path) -> None:
    slow = CLIPTokenizer.from_pretrained(model / "tokenizer")
    fast = CLIPTokenizerFast.from_pretrained(model / "tokenizer")
    fast.save_pretrained(model / "tokenizer")
    (model / "tokenizer/vocab.json").unlink()
    (model / "tokenizer/merges.txt").unlink()
    assert slow("horns").input_ids == fast("horns").input_ids


def hub_cache(model: Path) -> None:
    cache = model.with_name("models--someone--tiny")
    for commit in ("aaaa", "bbbb"):
        shutil.copytree(model, cache / "snapshots" / commit)
    shutil.rmtree(cache / "snapshots/aaaa/unet")
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text("bbbb")
    shutil.rmtree(model)


LAYOUTS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "fp16 names only": (half_names, "m", "has its weights only as model.fp16.safetensors"),
    "tokenizer.json only": (fast_tokenizer, "m", "tokenizer has its vocabulary only as tokenizer.json"),
    "the hub's cache": (hub_cache, "models--someone--tiny", "is a folder of the hub's cache"),
}


@pytest.mark.parametrize(("change", "name", "sentence"), LAYOUTS.values(), ids=list(LAYOUTS))
def test_what_is_not_taken_as_it_lies_names_the_command_that_takes_it(
    place: Path, tiny_model: Path, change: Callable[[Path], None], name: str, sentence: str
) -> None:
    shutil.copytree(tiny_model, place / "m", ignore=shutil.ignore_patterns("clip"))
    change(place / "m")
    found = said("sample", "--prompts", "p.txt", "--model", name)
    assert sentence in found and f"run 'redifine base fetch {name}'" in found
    fetched = fetch(name, place)
    expected, ours = load_base(tiny_model), load_base(fetched.folder)
    assert fetched.folder.name == {"m": "m"}.get(name, "tiny")
    assert all(torch.equal(*pair) for pair in zip(ours.denoiser.parameters(), expected.denoiser.parameters(), strict=True))
    for text in ("a tall green creature, striped", "", "(horns) and a curly tail!?"):
        assert torch.equal(ours.tokenize([text]), expected.tokenize([text]))


def test_a_cache_with_several_snapshots_and_no_main_is_asked_about(place: Path, tiny_model: Path) -> None:
    shutil.copytree(tiny_model, place / "m", ignore=shutil.ignore_patterns("clip"))
    hub_cache(place / "m")
    (place / "models--someone--tiny/refs/main").unlink()
    assert "has 2 snapshots (aaaa, bbbb), and refs/main names none; give the folder" in said(
        "base", "fetch", "models--someone--tiny"
    )


def test_one_file_given_as_model_names_the_command(place: Path, tiny_model: Path) -> None:
    write(place / "x.safetensors", original(tiny_model))
    assert "run 'redifine base fetch x.safetensors'" in said("sample", "--prompts", "p.txt", "--model", "x.safetensors")
