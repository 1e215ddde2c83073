"""Stage prepare refuses a model that no chain can use: by its headers, and in the words of `redifine base check`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.chain import params
from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.cli.application import main
from pipeline.core.errors import UserError
from pipeline.inputs.base_models import identity as base
from pipeline.prepare import stage
from project import ROOT

UNET = "unet/diffusion_pytorch_model.safetensors"


def view(**changes: object) -> View:
    values = params.load(ROOT / "params.yaml").model_dump() | {"prompts": 2} | changes
    return View(params.check(values), "prepare")


@pytest.fixture
def root(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a model and a VAE of its own, which is also the working directory."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(tiny_model, tmp_path / "m")
    shutil.copytree(tiny_model / "vae", tmp_path / "v")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def set_in(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def swap(folder: Path, other: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(other, folder)


DAMAGES: dict[str, tuple[Callable[[], object], str]] = {
    "v prediction": (
        lambda: set_in(Path("m/scheduler/scheduler_config.json"), prediction_type="v_prediction"),
        "m cannot be used: it is a model whose prediction type is v_prediction, not epsilon",
    ),
    "half a U-Net": (lambda: cut(Path("m", UNET)), f"m cannot be used: {UNET} is not a whole safetensors file"),
    "no U-Net": (lambda: shutil.rmtree("m/unet"), "m cannot be used: it is a Stable Diffusion without unet/config.json"),
    "no vocabulary": (lambda: Path("m/tokenizer/vocab.json").unlink(), "m cannot be used: tokenizer/vocab.json is missing;"),
    "no scheduler": (lambda: shutil.rmtree("m/scheduler"), "m cannot be used: scheduler/scheduler_config.json is missing;"),
    "a broken config": (lambda: Path("m/unet/config.json").write_text("{"), "m/unet/config.json cannot be read as JSON"),
    "a VAE as model": (
        lambda: swap(Path("m"), Path("v")),
        "m cannot be used: it is a VAE, and a chain needs Stable Diffusion 1.x",
    ),
    "a model as VAE": (lambda: swap(Path("v"), Path("m")), "v cannot be used: it is Stable Diffusion 1.x, not a VAE"),
    "half a VAE": (lambda: cut(Path("v/diffusion_pytorch_model.safetensors")), "v cannot be used: diffusion_pytorch_model.saf"),
    "an empty VAE": (
        lambda: (shutil.rmtree("v"), Path("v").mkdir()),
        "v cannot be used: it is no model in diffusers layout, not",
    ),
}


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES.values(), ids=list(DAMAGES))
def test_prepare_says_what_base_check_says_before_it_reads_any_weights(
    root: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[], object], sentence: str
) -> None:
    damage()
    read: list[Path] = []
    monkeypatch.setattr(base, "sha256_file", read.append)
    with pytest.raises(UserError) as refused:
        stage.run(view(model="m", vae="v"), Layout())
    assert str(refused.value).startswith(sentence) and not read and not Path("models").exists()
    assert CliRunner().invoke(main, ["set", "model=m", "vae=v"]).exit_code == 0
    checked = CliRunner().invoke(main, ["base", "check"])
    assert (checked.exit_code, checked.stderr.replace(f"{root}/", "")) == (2, f"Error: {refused.value}\n")


def test_with_another_vae_the_models_own_need_not_be_there(root: Path) -> None:
    shutil.rmtree("m/vae")
    stage.run(view(model="m", vae="v"), Layout())
    CliRunner().invoke(main, ["set", "model=m", "vae=v"])
    assert CliRunner().invoke(main, ["base", "check"]).exit_code == 0
    with pytest.raises(UserError, match="m cannot be used: vae/config.json is missing and 1 more"):
        stage.run(view(model="m"), Layout())


def test_each_file_is_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    original = base.sha256_file
    monkeypatch.setattr(base, "sha256_file", lambda path: (read.append(path), original(path))[1])
    stage.run(view(model="m", vae="v"), Layout())
    assert len(read) == len(set(read)) > 5
