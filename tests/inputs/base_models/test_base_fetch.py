"""redifine base fetch, from a hub: only what is needed comes, all of it or nothing, and every failure is one sentence."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load, save

from inputs.base_models.hub_stand_in import HubStandIn
from inputs.base_models.repositories import as_bytes, autoencoder, flux, stable_diffusion, weights
from pipeline.chain import model_names as catalogue
from pipeline.core.errors import UserError
from pipeline.core.files import write_bytes
from pipeline.inputs.base_models import fetch, source
from pipeline.inputs.base_models import hub as hub_module

REPOSITORY = "someone/a-model"
PARTS = {"model_index.json", "scheduler", "text_encoder", "tokenizer", "unet", "vae"}


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(root: Path, text: str = REPOSITORY, **options: object) -> str:
    """The one sentence that a fetch ends with, having left nothing that could be taken for a model."""
    with pytest.raises(UserError) as error:
        fetch.fetch(text, root, **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert not list((root / source.FOLDER).glob("*"))
    return str(error.value)


def test_only_configs_and_one_set_of_safetensors_come(hub: HubStandIn, root: Path) -> None:
    hub.files[REPOSITORY] = stable_diffusion()
    folder = fetch.fetch(REPOSITORY, root).folder
    assert folder == root / "models/base/a-model"
    assert {path.name for path in folder.iterdir()} == PARTS | {"base.json"}
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".json", ".txt", ".safetensors"}
    assert [path.name for path in (folder / "unet").iterdir() if path.suffix != ".json"] == [
        "diffusion_pytorch_model.safetensors"
    ]
    wanted = set(stable_diffusion()) & set(files(folder))
    assert {path.split("/", 5)[-1] for path in hub.downloads()} == wanted
    assert all(files(folder)[name] == stable_diffusion()[name] for name in wanted - {"model_index.json"})


def test_the_record_has_the_source_and_the_hash_of_every_file(hub: HubStandIn, root: Path) -> None:
    hub.files[REPOSITORY] = stable_diffusion()
    folder = fetch.fetch(f"{REPOSITORY}@main", root).folder
    record = json.loads((folder / "base.json").read_text())
    assert (record["kind"], record["licence"], record["name"]) == ("sd1", "openrail", "a-model")
    assert record["source"] == {
        "repository": REPOSITORY, "revision": hub.commit(REPOSITORY), "requested": "main", "variant": None
    }  # fmt: skip
    found = {name: content for name, content in files(folder).items() if name != "base.json"}
    assert record["files"] == {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in found.items()
    }


def test_what_was_not_fetched_is_not_promised(hub: HubStandIn, root: Path) -> None:
    hub.files[REPOSITORY] = stable_diffusion()
    index = json.loads((fetch.fetch(REPOSITORY, root).folder / "model_index.json").read_text())
    assert index["safety_checker"] == index["feature_extractor"] == [None, None]
    assert index["unet"] == ["diffusers", "UNet2DConditionModel"]


def test_a_second_fetch_asks_no_hub(hub: HubStandIn, root: Path) -> None:
    hub.files[REPOSITORY] = stable_diffusion()
    before = files(fetch.fetch(REPOSITORY, root).folder)
    hub.down = True
    again = fetch.fetch(REPOSITORY, root)
    assert again.was_here and files(again.folder) == before


def test_half_precision_lies_under_the_names_that_every_loader_knows(hub: HubStandIn, root: Path) -> None:
    hub.files[REPOSITORY] = stable_diffusion()
    fetched = fetch.fetch(REPOSITORY, root, variant="fp16")
    half = stable_diffusion()["unet/diffusion_pytorch_model.fp16.safetensors"]
    assert files(fetched.folder)["unet/diffusion_pytorch_model.safetensors"] == half
    assert fetched.record["source"]["renamed"]["vae/diffusion_pytorch_model.safetensors"].endswith(".fp16.safetensors")


def test_weights_that_exist_in_half_precision_alone_are_taken(hub: HubStandIn, root: Path) -> None:
    hub.files[REPOSITORY] = {name: content for name, content in stable_diffusion().items() if "model.safetensors" not in name}
    assert (fetch.fetch(REPOSITORY, root).folder / "unet/diffusion_pytorch_model.safetensors").is_file()


def test_shards_come_with_their_index(hub: HubStandIn, root: Path) -> None:
    repository = stable_diffusion()
    whole = load(repository.pop("unet/diffusion_pytorch_model.safetensors"))
    names_ = [f"diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    shards = [dict(list(whole.items())[i::2]) for i in range(2)]
    repository |= {f"unet/{name}": save(shard) for name, shard in zip(names_, shards, strict=True)}
    index = {"weight_map": {name: file for file, shard in zip(names_, shards, strict=True) for name in shard}}
    repository["unet/diffusion_pytorch_model.safetensors.index.json"] = json.dumps(index).encode()
    hub.files[REPOSITORY] = repository
    found = {path.name for path in (fetch.fetch(REPOSITORY, root).folder / "unet").iterdir()}
    assert found == {*names_, "diffusion_pytorch_model.safetensors.index.json", "config.json"}


def test_sdxl_comes_with_both_text_encoders_and_tokenizers(hub: HubStandIn, root: Path) -> None:
    hub.files[REPOSITORY] = stable_diffusion("sdxl")
    fetched = fetch.fetch(REPOSITORY, root)
    assert fetched.record["kind"] == "sdxl"
    assert {path.name for path in fetched.folder.iterdir()} > {"text_encoder_2", "tokenizer_2"}


def test_a_vae_is_a_folder_of_its_own(hub: HubStandIn, root: Path) -> None:
    hub.files["someone/vae"] = autoencoder()
    fetched = fetch.fetch("someone/vae", root)
    assert fetched.record["kind"] == "vae"
    assert set(files(fetched.folder)) == {"base.json", "config.json", "diffusion_pytorch_model.safetensors"}


def test_a_broken_download_goes_on_where_it_stopped(hub: HubStandIn, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 100)
    hub.files[REPOSITORY] = stable_diffusion()
    hub.broken_after["unet/diffusion_pytorch_model.safetensors"] = 700
    assert "run again to resume" in refused(root)
    hub.broken_after.clear()
    hub.asked.clear()
    fetch.fetch(REPOSITORY, root)
    again = [(path, given) for method, path, given in hub.asked if method == "GET" and path.endswith(".safetensors")]
    assert [(path.rsplit("/", 2)[1], given) for path, given in again if "unet" in path] == [("unet", "bytes=700-")]
    assert not list((root / "scratch/base").iterdir())


def test_a_file_that_arrives_damaged_is_fetched_again(hub: HubStandIn, root: Path) -> None:
    hub.files[REPOSITORY] = stable_diffusion()
    hub.flipped.add("vae/diffusion_pytorch_model.safetensors")
    assert "vae/diffusion_pytorch_model.safetensors of someone/a-model arrived damaged" in refused(root)
    hub.flipped.clear()
    hub.asked.clear()
    folder = fetch.fetch(REPOSITORY, root).folder
    assert (
        files(folder)["vae/diffusion_pytorch_model.safetensors"]
        == stable_diffusion()["vae/diffusion_pytorch_model.safetensors"]
    )
    assert [path.rsplit("/", 2)[1] for path in hub.downloads()] == ["vae"]


def test_a_small_file_is_checked_too(hub: HubStandIn, root: Path) -> None:
    hub.files[REPOSITORY] = stable_diffusion()
    hub.flipped.add("tokenizer/merges.txt")
    assert "tokenizer/merges.txt of someone/a-model arrived damaged" in refused(root)


def test_a_mirror_cannot_give_other_weights_under_a_name_of_the_catalogue(
    hub: HubStandIn, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = catalogue.CATALOGUE["sd15"]
    pinned = replace(entry, revision=hub.commit(entry.repository))
    monkeypatch.setattr(source, "CATALOGUE", {"sd15": pinned})
    hub.files[entry.repository] = stable_diffusion()
    assert "is not the one that stable-diffusion-v1-5/stable-diffusion-v1-5 published" in refused(root, "sd15")
    assert not [path for path in hub.downloads() if path.endswith(".safetensors")]


REFUSED = {
    "Stable Diffusion 2": (stable_diffusion(unet={"use_linear_projection": True, "cross_attention_dim": 1024}),
                           "is Stable Diffusion 2, and a chain needs Stable Diffusion 1.x or SDXL"),
    "v-prediction": (stable_diffusion(scheduler={"prediction_type": "v_prediction"}), "whose prediction type is v_prediction"),
    "inpainting": (stable_diffusion(unet={"in_channels": 9}), "takes 9 channels"),
    "Flux": (flux(), "is a FluxPipeline, and a chain needs Stable Diffusion 1.x or SDXL"),
    "parts of another model": ({name: content for name, content in flux().items() if name != "model_index.json"},
                               "1.x or SDXL in diffusers layout (it has text_encoder, transformer, vae)"),
    "a VAE of 16 channels": (autoencoder(16), "is a VAE of 16 latent channels"),
    "pickles only": ({name: content for name, content in stable_diffusion().items() if not name.endswith(".safetensors")},
                     "text_encoder has its weights only as a pickle (pytorch_model"),
    "one file": ({"model.safetensors": weights()}, "is not in diffusers layout, but has model.safetensors"),
    "no model": ({"README.md": b"nothing"}, "is no Stable Diffusion 1.x or SDXL in diffusers layout; choose another"),
}  # fmt: skip


@pytest.mark.parametrize(("repository", "sentence"), REFUSED.values(), ids=list(REFUSED))
def test_another_kind_of_model_is_refused_before_its_weights_come(
    hub: HubStandIn, root: Path, repository: dict[str, bytes], sentence: str
) -> None:
    hub.files[REPOSITORY] = repository
    assert sentence in refused(root)
    assert not [path for path in hub.downloads() if path.endswith((".safetensors", ".bin"))]


HALF: dict[str, tuple[str, str]] = {
    "no tokenizer": ("tokenizer/", "tokenizer/vocab.json is missing"),
    "no merges": ("tokenizer/merges.txt", "tokenizer/merges.txt is missing"),
    "no scheduler": ("scheduler/", "scheduler/scheduler_config.json is missing"),
    "no VAE": ("vae/", "vae/config.json is missing"),
}


@pytest.mark.parametrize(("start", "sentence"), HALF.values(), ids=list(HALF))
def test_a_model_that_lacks_a_part_is_refused_before_its_weights_come(
    hub: HubStandIn, root: Path, start: str, sentence: str
) -> None:
    hub.files[REPOSITORY] = {name: content for name, content in stable_diffusion().items() if not name.startswith(start)}
    assert f"{REPOSITORY} is not the whole of Stable Diffusion 1.x: {sentence}" in refused(root)
    assert not [path for path in hub.downloads() if path.endswith(".safetensors")]


@pytest.mark.parametrize(("start", "sentence"), HALF.values(), ids=list(HALF))
def test_a_folder_of_ones_own_that_lacks_a_part_is_refused_and_nothing_left(
    root: Path, tmp_path: Path, start: str, sentence: str
) -> None:
    for name, content in stable_diffusion().items():
        if not name.startswith(start):
            write_bytes(tmp_path / "own" / name, content)
    assert f"own is not the whole of Stable Diffusion 1.x: {sentence}" in refused(root, str(tmp_path / "own"))


def test_shards_that_do_not_all_come_are_refused(hub: HubStandIn, root: Path) -> None:
    name = "unet/diffusion_pytorch_model"
    index = {"weight_map": {f"w{i}": f"diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)}}
    hub.files[REPOSITORY] = {path: content for path, content in stable_diffusion().items() if not path.startswith(name)} | {
        f"{name}.safetensors.index.json": as_bytes(index),
        f"{name}-00001-of-00002.safetensors": weights(),
    }
    assert f"{name}-00002-of-00002.safetensors is missing" in refused(root)


def test_a_gated_repository_names_the_page_and_the_command(hub: HubStandIn, root: Path) -> None:
    hub.files[REPOSITORY] = stable_diffusion()
    hub.gated.add(REPOSITORY)
    found = refused(root)
    assert "accept its terms at https://huggingface.co/someone/a-model" in found and "hf auth login" in found


def test_a_wrong_name_is_named(hub: HubStandIn, root: Path) -> None:
    assert "there is no model someone/none at http://127.0.0.1" in refused(root, "someone/none")


def test_a_wrong_revision_is_named(hub: HubStandIn, root: Path) -> None:
    hub.files[REPOSITORY] = stable_diffusion()
    assert "someone/a-model has no revision v9" in refused(root, f"{REPOSITORY}@v9")


def test_a_hub_that_is_down_is_no_fault_of_the_name(hub: HubStandIn, root: Path) -> None:
    hub.files[REPOSITORY] = stable_diffusion()
    hub.down = True
    assert "(it answers 503); check the network" in refused(root)


def test_no_network_at_all(hub: HubStandIn, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "cannot be fetched from http://127.0.0.1:9 (no connection)" in refused(root)


def test_offline_mode_is_said(hub: HubStandIn, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in refused(root)
    assert not hub.asked


def test_no_room_is_said_before_the_weights_come(hub: HubStandIn, root: Path) -> None:
    hub.files[REPOSITORY] = stable_diffusion()
    hub.claimed_size = 10**15
    assert "needs 3000000.0 GB" in refused(root)
    assert not [path for path in hub.downloads() if path.endswith(".safetensors")]


def test_a_disk_that_fills_up_is_said(hub: HubStandIn, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    hub.files[REPOSITORY] = stable_diffusion()
    monkeypatch.setattr("huggingface_hub.snapshot_download", full)
    assert "the disk is full" in refused(root)


def test_two_models_do_not_share_a_name(hub: HubStandIn, root: Path) -> None:
    hub.files = {REPOSITORY: stable_diffusion(), "other/a-model": stable_diffusion()}
    before = files(fetch.fetch(REPOSITORY, root).folder)
    with pytest.raises(UserError, match="holds another model .*someone/a-model"):
        fetch.fetch("other/a-model", root)
    assert files(root / "models/base/a-model") == before
    assert fetch.fetch("other/a-model", root, name="second").folder.name == "second"


def test_a_folder_without_a_record_is_not_taken_for_a_model(hub: HubStandIn, root: Path) -> None:
    hub.files[REPOSITORY] = stable_diffusion()
    (root / "models/base/a-model/unet").mkdir(parents=True)
    with pytest.raises(UserError, match="is there without a record"):
        fetch.fetch(REPOSITORY, root)


def test_a_model_that_lost_a_file_is_not_taken_for_whole(hub: HubStandIn, root: Path) -> None:
    hub.files[REPOSITORY] = stable_diffusion()
    (fetch.fetch(REPOSITORY, root).folder / "unet/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(UserError, match="diffusion_pytorch_model.safetensors is gone"):
        fetch.fetch(REPOSITORY, root)


def test_a_file_that_would_leave_its_folder_is_not_listed(hub: HubStandIn, root: Path) -> None:
    hub.files[REPOSITORY] = stable_diffusion() | {"../../unet/config.json": b"{}"}
    assert "../../unet/config.json" not in hub_module.look_up(REPOSITORY, None).files


def test_a_folder_of_ones_own_is_copied(root: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    for name, content in stable_diffusion().items():
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_bytes(content)
    fetched = fetch.fetch(str(own), root, name="sd15-local")
    assert fetched.record["source"] == {"folder": "own", "variant": None}
    (own / "unet/diffusion_pytorch_model.safetensors").write_bytes(weights(99))
    assert files(fetched.folder)["unet/diffusion_pytorch_model.safetensors"] != weights(99)
