"""From a fetched model to a chain: M_0's record has its source and hashes, and nothing after the fetch needs a network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from inputs.base_models.hub_stand_in import HubStandIn
from pipeline.chain import params, paths
from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.cli.convert import convert_file
from pipeline.core.errors import UserError
from pipeline.core.tensors import load_tensors
from pipeline.diffusion.families.layouts import LAYOUTS
from pipeline.diffusion.models import load_base
from pipeline.inputs.base_models.fetch import fetch
from pipeline.inputs.base_models.tokenizers import lay_out_for_sd_scripts, sd_scripts_folder
from pipeline.prepare import stage
from project import ROOT
from train.train_project import needs_sd_scripts

REPOSITORY = "someone/tiny"


def as_repository(model: Path) -> dict[str, bytes]:
    """A model of the true classes, with the files that repositories have beside the needed ones."""
    found = {path.relative_to(model).as_posix(): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    index = json.loads(found["model_index.json"]) | {
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
    }
    found["model_index.json"] = json.dumps(index).encode()
    return found | {"unet/diffusion_pytorch_model.bin": b"\x80\x02", "README.md": b"#", "v1.ckpt": b"\x80\x02"}


def view(**changes: object) -> View:
    values = params.load(ROOT / "params.yaml").model_dump() | {"prompts": 3} | changes
    return View(params.check(values), "prepare")


@pytest.fixture
def fetched(hub: HubStandIn, root: Path, tiny_model: Path) -> Path:
    hub.files[REPOSITORY] = as_repository(tiny_model)
    return fetch(REPOSITORY, root).folder.relative_to(root)


def test_the_fetched_model_is_the_one_on_the_hub(fetched: Path, tiny_model: Path) -> None:
    found, expected = load_base(fetched), load_base(tiny_model)
    for part in ("unet", "vae", "text_encoder"):
        tensors = getattr(found, part).state_dict()
        assert all(torch.equal(tensors[name], tensor) for name, tensor in getattr(expected, part).state_dict().items())


def test_diffusers_own_pipeline_loads_the_folder_as_it_is(fetched: Path) -> None:
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(str(fetched), local_files_only=True)
    assert pipe.safety_checker is None and pipe.tokenizer is not None


def test_m_0_records_where_the_model_came_from(hub: HubStandIn, fetched: Path, root: Path) -> None:
    stage.run(view(model=fetched.as_posix()), Layout())
    record = json.loads(Layout().base_record().read_text())
    assert record["sources"] == {"model": {"name": "tiny", "licence": "openrail", "repository": REPOSITORY, "requested":
        "default branch", "revision": hub.commit(REPOSITORY), "variant": None}}  # fmt: skip
    hashes = json.loads((fetched / "base.json").read_text())["files"]
    assert record["files"] == {name: hashes[name]["sha256"] for name in record["files"]}
    assert {name.partition("/")[0] for name in record["files"]} == {"tokenizer", "text_encoder", "unet", "vae"}


def test_a_vae_in_its_place_is_recorded_and_its_own_record_is_no_weight(fetched: Path, root: Path, tiny_model: Path) -> None:
    shutil.copytree(tiny_model / "vae", root / "own-vae")
    vae = fetch("own-vae", root, name="vae").folder.relative_to(root)
    stage.run(view(model=fetched.as_posix(), vae=vae.as_posix()), Layout())
    record = json.loads(Layout().base_record().read_text())
    assert record["sources"]["vae"]["folder"] == "own-vae"
    stage.run(view(model=fetched.as_posix()), Layout(root / "again"))
    assert json.loads(Layout(root / "again").base_record().read_text())["sha256"] == record["sha256"]


def test_a_model_that_was_changed_after_the_fetch_is_refused(fetched: Path) -> None:
    with (fetched / "unet/config.json").open("a") as file:
        file.write(" ")
    with pytest.raises(UserError, match="unet/config.json is not the file that was fetched"):
        stage.run(view(model=fetched.as_posix()), Layout())


def test_a_model_that_is_not_here_names_the_command(root: Path) -> None:
    for model, wish in (("models/base/sd15", "sd15"), ("someone/tiny", "someone/tiny")):
        with pytest.raises(UserError, match=f"there is no folder {model}; .*'redifine base fetch {wish}'"):
            stage.run(view(model=model), Layout())


def test_the_tokenizer_lies_where_sd_scripts_looks(fetched: Path, root: Path) -> None:
    place = lay_out_for_sd_scripts(fetched, root / "scratch")
    assert place == sd_scripts_folder(fetched, root / "scratch")
    assert [path.name for path in place.iterdir()] == [LAYOUTS["sdxl"].tokenizers["tokenizer"]]
    for path in (place / LAYOUTS["sdxl"].tokenizers["tokenizer"]).iterdir():
        assert path.read_bytes() == (fetched / "tokenizer" / path.name).read_bytes()


def test_another_tokenizer_is_laid_out_elsewhere(fetched: Path, root: Path) -> None:
    before = lay_out_for_sd_scripts(fetched, root / "scratch")
    (fetched / "tokenizer/merges.txt").write_text("#version: 0.2\n")
    assert lay_out_for_sd_scripts(fetched, root / "scratch") != before


@needs_sd_scripts
def test_sd_scripts_names_its_tokenizers_as_we_do() -> None:
    sources = Path(str(paths.sd_scripts(ROOT))) / "library"
    text = "".join((sources / f"strategy_{name}.py").read_text() for name in ("sd", "sdxl"))
    for name in LAYOUTS["sdxl"].tokenizers.values():
        assert f'"{name.replace("_", "/", 1)}"' in text


def test_a_model_without_a_vocabulary_is_refused(fetched: Path, root: Path) -> None:
    (fetched / "tokenizer/vocab.json").unlink()
    with pytest.raises(UserError, match="has no vocab.json, so it is no CLIP tokenizer"):
        lay_out_for_sd_scripts(fetched, root / "scratch")


class ModelCheckpoint:
    """Stands for Lightning's callback, which lies in the first Stable Diffusion checkpoints."""

    def __init__(self) -> None:
        self.best = 1.0


def test_a_checkpoint_with_a_trainers_state_beside_it_is_converted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "pytorch_lightning.callbacks.model_checkpoint"
    monkeypatch.setattr(ModelCheckpoint, "__module__", module)
    monkeypatch.setitem(sys.modules, "pytorch_lightning", type(sys)("pytorch_lightning"))
    monkeypatch.setitem(sys.modules, "pytorch_lightning.callbacks", type(sys)("pytorch_lightning.callbacks"))
    stand_in = type(sys)(module)
    stand_in.ModelCheckpoint = ModelCheckpoint  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module, stand_in)
    shared = torch.arange(6.0)
    torch.save({"state_dict": {"a": shared, "b": shared.view(2, 3), "c": shared.view(2, 3).T},
                "callbacks": {"m": ModelCheckpoint()}, "global_step": 3}, root / "v1.ckpt")  # fmt: skip
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks", module):
        monkeypatch.delitem(sys.modules, name)
    assert convert_file(root / "v1.ckpt", root / "v1.safetensors") == 3
    found, _ = load_tensors(root / "v1.safetensors")
    assert torch.equal(found["a"], shared) and torch.equal(found["c"], shared.view(2, 3).T)


@pytest.mark.slow
def test_a_chain_runs_offline_on_a_fetched_model(hub: HubStandIn, fetched: Path, root: Path) -> None:
    (root / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    settings = [f"model={fetched.as_posix()}", "prompts=3", "epochs=1", "batch_size=3", "rank=2", "steps=2", "trainer=builtin"]
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9", "PYTHONPATH": str(ROOT)}
    hub.asked.clear()
    for command in (["set", *settings], ["prepare"], ["curate", "--k", "1"], ["train", "--k", "1"], ["sample", "--k", "1"]):
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *command], cwd=root, env=offline, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert not hub.asked
    base = json.loads(Layout(root).base_record().read_text())["sha256"]
    assert json.loads((root / "models/M_1/lineage.json").read_text())["base_sha256"] == base
    assert base in (root / "data/D_1/00000.png").read_bytes().decode("latin-1")
