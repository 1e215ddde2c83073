"""`redifine verify --all` believes no dvc.lock that images, LoRAs and M_0 deny."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from chains import parameters
from pipeline.chain.params import STAGE_PARAMS, Params, View
from pipeline.core.files import sha256_file, write_bytes, write_text
from pipeline.core.images import encode_png
from pipeline.core.json_files import read_json, read_jsonl, write_json, write_jsonl
from pipeline.methods.schedules import make_schedule
from pipeline.provenance.verify.audit import audit
from pipeline.provenance.verify.recorded_settings import setting_findings
from pipeline.provenance.verify.records import Records, read_records
from pipeline.sample.png import KEY, ImageLineage, format_parameters
from pipeline.sample.sampler import SampleSettings
from pipeline.train import config
from pipeline.train.training_inputs import Example, TrainingInputs, updates
from pipeline.versioning.dvc_lock import StageEntry
from provenance.verify.recorded import record_with_dvc, write_recorded_chain

PROMPTS = 5


def entry(name: str, params: Params, **changes: Any) -> dict[str, StageEntry]:
    """dvc.lock's entry of a stage that ran with these parameters, or so it says."""
    values = params.model_dump()
    own = {key: values[key] for key in STAGE_PARAMS[name.partition("@")[0]]}
    return {name: StageEntry(name, "", (), (), own | changes)}


@pytest.fixture
def records(tmp_path: Path) -> Records:
    write_recorded_chain(tmp_path)
    return read_records(tmp_path, range(3))[0]


def write_toml(records: Records, params: Params, k: int) -> None:
    """What the stage train writes for the trainer, by its own code."""
    layout, view = records.layout, View(params, "train")
    steps = params.updates or updates(PROMPTS, params.batch_size, params.epochs)
    inputs = TrainingInputs(
        k=k, examples=(Example("data/D_0/00000.png", "a"),), steps=steps, model=params.model, vae=params.vae, base_sha256="",
        tokenizer=None, previous=layout.lora(k - 1) if params.start_from == "previous" else None, family="sd1",
    )  # fmt: skip
    for name, text in config.texts(view, inputs, layout.model(k), layout.root).items():
        write_text(layout.model(k) / name, text)
    own = {"condition_drop": params.condition_drop, "trainer": params.trainer}
    write_json(layout.lineage(k), read_json(layout.lineage(k)) | own)


RUNS: list[dict[str, Any]] = [
    {},
    {"rank": 4, "unet_lr": 1e-4, "precision": "bf16", "min_snr_gamma": None, "noise_offset": 0.1, "flip": False},
    {"updates": 7, "train_parts": "unet", "max_token_length": 225, "gradient_checkpointing": True, "attention": "xformers"},
    {"start_from": "previous", "condition_drop": 0.2, "trainer": "kohya", "vae": "models/other", "train_parts": "text_encoder"},
]


@pytest.mark.parametrize("changes", RUNS, ids=lambda changes: ",".join(changes) or "defaults")
def test_what_the_trainer_read_is_what_dvc_lock_says(records: Records, changes: dict[str, Any]) -> None:
    params = parameters(2, **changes)
    write_toml(records, params, 2)
    records = read_records(records.layout.root, range(3))[0]
    assert [*setting_findings(records, entry("train@2", params), {})] == []


@pytest.mark.parametrize(
    ("recorded", "words"),
    [
        ({"rank": 8}, "ran with network_dim: 8, and models/M_2/train.toml says network_dim: 16"),
        ({"unet_lr": 1e-5}, "unet_lr: 1e-05"),
        ({"noise_offset": 0.1}, "train.toml says noise_offset: nothing"),
        ({"epochs": 3}, "max_train_steps"),
        ({"seed": 1}, "seed"),
        ({"precision": "fp16"}, "mixed_precision: fp16"),
        ({"flip": False}, "dataset.toml says flip_aug: True"),
        ({"condition_drop": 0.2}, "models/M_2/lineage.json says condition_drop: 0.0"),
        ({"train_parts": "unet"}, "network_train_unet_only: True"),
    ],
    ids=str,
)
def test_a_parameter_that_the_trainer_did_not_read_is_found(records: Records, recorded: dict[str, Any], words: str) -> None:
    params = parameters(2)
    write_toml(records, params, 2)
    records = read_records(records.layout.root, range(3))[0]
    found = [*setting_findings(records, entry("train@2", params, **recorded), {})]
    assert found and all(finding.path == "dvc.lock" for finding in found)
    assert words in str(found[0]) and "redifine repro --force --single-item train@2" in str(found[0])


def draw(records: Records, params: Params, k: int) -> None:
    """Give the images of D_k the words that the sampler writes."""
    settings = SampleSettings(
        schedule=make_schedule(params), steps=params.steps, height=params.resolution, width=params.resolution,
        clip_skip=params.clip_skip, max_token_length=params.max_token_length, family="sd1",
    )  # fmt: skip
    assert records.base is not None
    lineage = ImageLineage(Path(params.model).name, records.base["sha256"], None, params.cfg, settings, k)
    for row in read_jsonl(records.layout.manifest(k)):
        fields = lineage.fields(row["prompt_index"], row["image_index"], row["seed"])
        fields["Lora sha256"] = records.lineages[k]["lora_sha256"]
        pixels = np.zeros((8, 8, 3), dtype=np.uint8)
        write_bytes(records.layout.images(k) / row["file"], encode_png(pixels, {KEY: format_parameters(row["prompt"], fields)}))


@pytest.mark.parametrize(
    ("recorded", "words"),
    [
        ({}, None),
        ({"cfg": 2.5}, "ran with CFG scale: 2.5, and data/D_1/00000.png says CFG scale: 7.5"),
        ({"steps": 4}, "Steps: 30"),
        ({"schedule": "exponential"}, "Schedule: "),
        ({"resolution": 512}, "Size: 64x64"),
        ({"clip_skip": 1}, "Clip skip: 2"),
        ({"model": "models/base/sd15"}, "Model: miniature"),
    ],
    ids=str,
)
def test_a_parameter_that_the_images_deny_is_found(records: Records, recorded: dict[str, Any], words: str | None) -> None:
    params = parameters(2)
    draw(records, params, 1)
    found = [*setting_findings(records, entry("sample@1", params, **recorded), {})]
    assert not found if words is None else words in str(found[0]), found
    wrong = {f"data/D_1/{row['file']}": False for row in records.manifests[1]}
    assert [*setting_findings(records, entry("sample@1", params, **recorded), wrong)] == [], (
        "no witness that is itself in doubt"
    )


def test_m0s_record_is_held_against_prepares_parameters(records: Records) -> None:
    params = parameters(2, model="models/tiny")
    assert [*setting_findings(records, entry("prepare", params), {})] == []
    found = [*setting_findings(records, entry("prepare", params, model="models/other"), {})]
    assert "models/M_0/base.json says model: models/tiny" in str(found[0])


def test_an_audit_tells_a_parameter_that_was_changed_in_dvc_lock_alone(tmp_path: Path) -> None:
    """Of a chain whose files are all as recorded, in which sample@1 is said to have run with another scale."""
    root = tmp_path / "chain"
    write_recorded_chain(root)
    records = read_records(root, range(3))[0]
    draw(records, parameters(2), 1)
    rows = read_jsonl(records.layout.manifest(1))
    write_jsonl(records.layout.manifest(1), [row | {"sha256": sha256_file(root / "data/D_1" / row["file"])} for row in rows])
    record_with_dvc(root)
    before = {str(finding) for finding in audit(root).findings}
    yaml = YAML()
    lock = yaml.load(root / "dvc.lock")
    lock["stages"]["sample@1"]["params"]["params.yaml"]["cfg"] = 2.5
    yaml.dump(lock, root / "dvc.lock")
    (new,) = {str(finding) for finding in audit(root).findings} - before
    assert "sample@1 ran with CFG scale: 2.5, and data/D_1/00000.png says CFG scale: 7.5" in new
