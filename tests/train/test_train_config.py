"""The TOMLs and metadata that both trainers read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import toml

from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import write_bytes
from pipeline.core.images import encode_png, load_image
from pipeline.core.json_files import read_jsonl, write_json, write_jsonl
from pipeline.train import config, stage
from pipeline.train.settings import read_settings
from pipeline.train.training_inputs import read_inputs
from train.train_project import CAPTIONS, view, write_project


def test_the_pair_read_back_gives_the_parameters(project: Layout) -> None:
    params = view(
        unet_lr=1e-05, noise_offset=0.05, max_token_length=225, train_parts="unet", caption_dropout=0.1, flip=False, epochs=5
    )
    settings = read_back(project, params)
    assert (settings.unet_lr, settings.alpha, settings.noise_offset) == (1e-05, 2.0, 0.05)
    assert (settings.max_token_length, settings.train_parts) == (225, "unet")
    assert (settings.caption_dropout, settings.flip, settings.batch_size, settings.steps) == (0.1, False, 2, 15)
    assert {(example.path, example.caption) for example in settings.examples} == {
        (row["path"], row["caption"]) for row in read_jsonl(project.training_set(1))
    }


def read_back(project: Layout, params: object, k: int = 1) -> object:
    job = read_inputs(params, k, project)
    for name, text in config.texts(params, job, project.model(k), project.root).items():
        write_bytes(project.model(k) / name, text.encode())
    return read_settings(project.model(k) / "train.toml", project.root)


def test_numbers_that_sd_scripts_wants_as_floats_are_floats(project: Layout) -> None:
    text, _ = stage.dry_run(view(alpha=4.0, max_grad_norm=1.0, unet_lr=1.0), 1, project, "cpu")
    values = {key: value for section in toml.loads(text).values() for key, value in section.items()}
    for key in ("network_alpha", "max_grad_norm", "unet_lr", "text_encoder_lr", "min_snr_gamma"):
        assert isinstance(values[key], float), key


def test_window_length_and_switched_off_knobs_leave_their_keys_out(project: Layout) -> None:
    text, _ = stage.dry_run(view(min_snr_gamma=None, max_token_length=75), 1, project, "cpu")
    for key in ("max_token_length", "min_snr_gamma", "noise_offset", "network_train", "network_weights", "vae ="):
        assert key not in text


@pytest.mark.parametrize(
    "name", ['quo"te', "back\\slash \\x41", "ta\tb", "ünï # = [x]"], ids=["quote", "backslash", "tab", "unicode"]
)
def test_odd_model_paths_survive_the_toml(project: Layout, name: str) -> None:
    record = {"model": f"models/{name}", "vae": f"models/{name}/vae", "sha256": "0" * 64, "files": {}}
    write_json(project.base_record(), record)
    text, _ = stage.dry_run(view(), 1, project, "cpu")
    section = toml.loads(text)["model"]
    assert section["pretrained_model_name_or_path"] == record["model"]
    assert section["vae"] == record["vae"]


def test_paths_are_relative_to_the_project(project: Layout, tiny_model: Path) -> None:
    write_json(project.base_record(), {"model": "models/base", "vae": None, "sha256": "0" * 64, "files": {}})
    shutil.copytree(tiny_model / "tokenizer", project.root / "models/base/tokenizer")
    job = read_inputs(view(start_from="previous"), 1, project)
    texts = config.texts(view(), job, project.model(1), project.root)
    assert str(project.root) not in "".join(texts.values())


def test_a_line_break_in_a_caption_keeps_what_follows_it(tmp_path: Path, tiny_model: Path) -> None:
    layout = write_project(tmp_path, tiny_model, ["one\ntwo", "three"])
    assert [example.caption for example in read_inputs(view(), 1, layout).examples] == ["one two", "three"]


def test_an_image_listed_three_times_is_an_example_three_times(project: Layout) -> None:
    rows = read_jsonl(project.training_set(1))
    write_jsonl(project.training_set(1), [*rows, rows[0], rows[0]])
    settings = read_back(project, view())
    paths = [example.path for example in settings.examples]
    assert len(paths) == len(CAPTIONS) + 2 and paths.count(rows[0]["path"]) == 3


def test_updates_depend_on_the_prompts_and_not_on_the_training_set(project: Layout) -> None:
    rows = read_jsonl(project.training_set(1))
    few, many = view(epochs=3, batch_size=4), view(epochs=3, batch_size=4)
    assert read_inputs(few, 1, project).steps == 6
    write_jsonl(project.training_set(1), rows * 4)
    assert read_inputs(many, 1, project).steps == 6


def test_only_later_iterations_go_on_with_the_previous_lora(project: Layout) -> None:
    write_project(project.root, Path("base"), k=2)
    assert "network_weights" not in stage.dry_run(view(start_from="previous"), 1, project, "cpu")[0]
    with pytest.raises(UserError, match="M_1/lora.safetensors does not exist; make it with 'dvc repro train@1'"):
        stage.dry_run(view(start_from="previous"), 2, project, "cpu")
    project.model(1).mkdir(parents=True)
    project.lora(1).write_bytes(b"")
    text, _ = stage.dry_run(view(start_from="previous"), 2, project, "cpu")
    assert toml.loads(text)["network"]["network_weights"] == "models/M_1/lora.safetensors"
    assert "network_weights" not in stage.dry_run(view(), 2, project, "cpu")[0]


def test_iterations_have_different_seeds(project: Layout) -> None:
    write_project(project.root, Path("base"), k=2)
    seeds = {toml.loads(stage.dry_run(view(), k, project, "cpu")[0])["optimizer"]["seed"] for k in (1, 2)}
    assert len(seeds) == 2 and all(0 <= seed < 2**32 for seed in seeds)


def test_dry_run_writes_nothing(project: Layout) -> None:
    before = sorted(project.root.rglob("*"))
    stage.dry_run(view(), 1, project, "cpu")
    assert sorted(project.root.rglob("*")) == before


def test_images_that_do_not_fit_are_named(project: Layout) -> None:
    path = project.images(0) / "00000.png"
    small = encode_png(load_image(path)[:32])
    for content, problem in ((small, "64x32"), (small[:40], "damaged or no image"), (None, "does not exist")):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(UserError, match=f"data/D_0/00000.png.*{problem}"):
            read_inputs(view(), 1, project)


def test_an_image_of_an_earlier_iteration_that_was_exchanged_is_named(project: Layout) -> None:
    path = project.images(0) / "00000.png"
    path.write_bytes(encode_png(255 - load_image(path)))
    with pytest.raises(UserError, match=r"data/D_0/00000\.png is not the image that T_k lists"):
        read_inputs(view(), 1, project)


def test_metadata_is_what_sd_scripts_calls_fine_tuning_metadata(project: Layout) -> None:
    job = read_inputs(view(), 1, project)
    texts = config.texts(view(), job, project.model(1), project.root)
    assert json.loads(texts["metadata.json"])["data/D_1/00002.png"] == {"caption": CAPTIONS[2], "image_size": [64, 64]}
