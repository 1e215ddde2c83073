"""redifine base check and list: what is there, whether it is whole and as recorded, in words and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from inputs.base_models.hub_stand_in import HubStandIn
from inputs.base_models.repositories import autoencoder, stable_diffusion, weights
from pipeline.chain import presets
from pipeline.cli.base import base
from pipeline.core.errors import UserError
from pipeline.core.files import write_bytes
from pipeline.inputs.base_models.check import all_models, check
from pipeline.inputs.base_models.fetch import fetch
from project import ROOT

REPOSITORY = "someone/a-model"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(base, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: str) -> str:
    with pytest.raises(UserError) as error:
        CliRunner().invoke(base, arguments, catch_exceptions=False)
    return str(error.value)


@pytest.fixture
def model(hub: HubStandIn, root: Path) -> Path:
    hub.files = {REPOSITORY: stable_diffusion(), "someone/vae": autoencoder()}
    return fetch(REPOSITORY, root).folder


def test_a_fetched_model_is_whole(model: Path) -> None:
    report = check(model, "m")
    assert (report.faults, report.kind, report.true_size, report.precision) == ([], "sd1", False, ["fp32"])
    assert report.bytes == sum(path.stat().st_size for path in model.rglob("*") if path.name != "base.json" and path.is_file())


UNET = "unet/diffusion_pytorch_model.safetensors"
DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "another content": (lambda m: (m / UNET).write_bytes(weights(77)), f"{UNET} is not the file that was fetched"),
    "a file that is gone": (lambda m: (m / "tokenizer/merges.txt").unlink(), "tokenizer/merges.txt is missing"),
    "half a file": (lambda m: (m / UNET).write_bytes((m / UNET).read_bytes()[:-9]), "is not a whole safetensors file"),
    "an added file": (lambda m: (m / "unet/more.safetensors").write_bytes(weights()), "unet/more.safetensors was added"),
    "another architecture": (lambda m: (m / "unet/config.json").write_text('{"in_channels": 9}'), "takes 9 channels"),
}


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES.values(), ids=list(DAMAGES))
def test_every_change_is_found(model: Path, damage: Callable[[Path], object], sentence: str) -> None:
    damage(model)
    assert sentence in " / ".join(check(model, "m").faults)
    assert "models/base/a-model cannot be used" in refused("check", "a-model")


def test_a_model_that_was_not_fetched_is_checked_for_its_parts(root: Path) -> None:
    for name, content in stable_diffusion("sdxl").items():
        if not name.startswith("tokenizer_2/") and not name.startswith("unet/diffusion_pytorch_model.safe"):
            write_bytes(root / "own" / name, content)
    assert set(check(root / "own", "own").faults) == {
        f"unet has its weights only as diffusion_pytorch_model.fp16.safetensors; run 'redifine base fetch {root / 'own'}', "
        "and set the folder that it names",
        "tokenizer_2/vocab.json is missing",
        "tokenizer_2/merges.txt is missing",
    }


def test_an_index_of_shards_that_is_none_is_named(model: Path) -> None:
    (model / UNET).unlink()
    (model / f"{UNET}.index.json").write_text('{"weight_map": 3}')
    with pytest.raises(UserError, match="safetensors.index.json is no index of shards"):
        check(model, "m")


def test_shards_that_are_missing_are_named(model: Path) -> None:
    (model / UNET).rename(model / "unet/diffusion_pytorch_model-00001-of-00002.safetensors")
    shards = {"weight_map": {f"w{i}": f"diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)}}
    (model / f"{UNET}.index.json").write_text(json.dumps(shards))
    assert "unet/diffusion_pytorch_model-00002-of-00002.safetensors is missing" in check(model, "m").faults


def test_json_says_the_same(model: Path) -> None:
    found = json.loads(run("check", "a-model", "--json"))
    assert [(row["folder"], row["kind"], row["faults"]) for row in found] == [("models/base/a-model", "sd1", [])]


def test_what_is_not_here_names_the_command(root: Path) -> None:
    assert "there is no folder sd15; bring the model with 'redifine base fetch'" in refused("check", "sd15")


def test_without_a_name_the_model_and_vae_of_params_yaml_are_checked(hub: HubStandIn, model: Path, root: Path) -> None:
    (root / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    assert "set model: models/base/a-model and vae: models/base/vae" in run("fetch", REPOSITORY, "--vae", "someone/vae")
    run("fetch", REPOSITORY, "--vae", "someone/vae", "--use")
    assert [line.split(":")[0] for line in run("check").splitlines() if not line.startswith(" ")] == [
        "models/base/a-model", "models/base/vae"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("vae", "sentence"),
    [
        ("models/base/a-model", "models/base/a-model cannot be used: it is Stable Diffusion 1.x, not a VAE"),
        ("models/base/odd", "models/base/odd cannot be used: it is a VAE of 16 latent channels, not a VAE"),
    ],
)
def test_what_params_yaml_names_as_its_vae_must_be_one(model: Path, root: Path, vae: str, sentence: str) -> None:
    for name, content in autoencoder(channels=16).items():
        write_bytes(root / "models/base/odd" / name, content)
    (root / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    presets.assign({"model": "models/base/a-model", "vae": vae}, root / "params.yaml")
    assert sentence in refused("check")


def test_a_model_is_no_vae(hub: HubStandIn, model: Path) -> None:
    assert "models/base/a-model is no VAE but sd1" in refused("fetch", REPOSITORY, "--vae", REPOSITORY)


def test_the_list_has_the_catalogue_and_what_is_here(model: Path, root: Path) -> None:
    found = {row.name: row.here for row in all_models(root)}
    assert found["a-model"] and not found["sd15"]
    assert {"sd15", "sdxl", "sd-vae-ft-mse", "sdxl-vae-fp16-fix"} <= found.keys()
    assert f"{REPOSITORY}@" in run("list")
