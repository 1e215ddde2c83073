"""Manifests, training sets and metrics as a stranger might have written them: a pulled D_k is not to be trusted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hostile.workplace import Workplace, write_set

from pipeline.core.files import write_text
from pipeline.core.json_files import write_json

ROWS: dict[str, dict[str, Any]] = {
    "another folder's file": {"file": "../../params.yaml"},
    "a file of the system": {"file": "/etc/passwd"},
    "a Windows path": {"file": "..\\..\\params.yaml"},
    "the folder itself": {"file": ".."},
    "no name": {"file": ""},
    "a name that ends early": {"file": "00000.png\0.txt"},
    "a prompt that is no text": {"prompt": ["a", "b"]},
    "a prompt with NUL": {"prompt": "a\0b"},
    "a prompt with an escape sequence": {"prompt": "\x1b[31mred"},
    "half of a surrogate pair": {"prompt": "\ud800"},
    "an index that is true": {"prompt_index": True},
    "an index below zero": {"prompt_index": -1},
    "an index with a fraction": {"prompt_index": 0.5},
    "a hash that is a number": {"sha256": 0},
}


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_a_row_of_a_manifest_that_cannot_be_trusted_is_named(place: Workplace, row: dict[str, Any]) -> None:
    write_set(place.root, 0, **{name: value for name, value in row.items() if value != "\ud800"})
    if row == {"prompt": "\ud800"}:
        manifest = place.root / "data/D_0/manifest.jsonl"
        write_text(manifest, manifest.read_text().replace('"creature 0"', '"\\ud800"'))
    sentence = place.refused("curate", "--k", "1")
    assert sentence.startswith("data/D_0/manifest.jsonl, line 1 must have file, prompt_index, image_index, prompt, sha256")


LINES = {
    "no JSON": (b"{'file': 1}\n", "line 1 is not valid JSON"),
    "a list": (b"[1, 2]\n", "line 1 must have file"),
    "NaN": (b'{"file": "a.png", "seed": NaN}\n', "NaN is no JSON number"),
    "Latin-1": (b'{"file": "caf\xe9"}\n', "is not UTF-8 text"),
    "nested 100,000 deep": (b"[" * 100_000 + b"\n", "line 1 is not valid JSON"),
    "a number of 10,000 digits": (b'{"seed": ' + b"9" * 10_000 + b"}\n", "line 1 is not valid JSON"),
}


@pytest.mark.parametrize(("content", "sentence"), LINES.values(), ids=list(LINES))
def test_a_manifest_that_is_no_list_of_images_is_named(place: Workplace, content: bytes, sentence: str) -> None:
    (place.root / "data/D_0/manifest.jsonl").write_bytes(content)
    found = place.refused("curate", "--k", "1")
    assert found.startswith("data/D_0/manifest.jsonl") and sentence in found


@pytest.mark.parametrize("path", ["../outside.png", "/etc/passwd", "data/D_0/../../x.png", "data\\D_0\\x.png", "", "a\0.png"])
def test_a_training_set_cannot_reach_out_of_the_project(place: Workplace, path: str) -> None:
    row = {"path": path, "prompt_index": 0, "image_index": 0, "caption": "x", "k": 0, "sha256": "0" * 64}
    write_text(place.root / "data/T_1.jsonl", json.dumps(row) + "\n")
    assert place.refused("train", "--k", "1", "--dry-run").startswith("data/T_1.jsonl, line 1 must have path, caption")


NUMBERS = {
    "text for FID": ({"fid": "high"}, "fid must be a number, got 'high'"),
    "true for FID": ({"fid": True}, "fid must be a number, got True"),
    "nothing for FID": ({"fid": None}, "fid must be a number, got None"),
    "infinity for FID": ({"fid": "INFINITE"}, "fid must be a number, got inf"),
    "a list of words for recall": ({"recall": ["high", "low"]}, "recall must be a number, got ['high', 'low']"),
    "a mapping to words for entropy": ({"entropy": {"a": "b"}}, "entropy must be a number"),
    "markup as entropy": ({"entropy": "<script>alert(1)</script>"}, "entropy must be a number, got '<script>"),
    "an escape sequence as a feature": ({"feature": {"name": "\x1b[2J"}}, "feature must be text"),
    "a list as a feature": ({"feature": ["clip"]}, "feature must be text"),
}


@pytest.mark.parametrize(("changes", "sentence"), NUMBERS.values(), ids=list(NUMBERS))
def test_metrics_that_are_no_numbers_are_named(place: Workplace, changes: dict[str, Any], sentence: str) -> None:
    write_metrics(place, changes)
    assert place.refused("report").startswith(f"metrics/1.json: {sentence}")


def write_metrics(place: Workplace, changes: dict[str, Any]) -> None:
    """Metrics and analyses of k = 0 and 1 with the keys that a report reads; metrics/1.json with `changes`."""
    from pipeline.report.finished_chain import ANALYSIS, metric_keys

    for k in (0, 1):
        write_json(place.root / f"analysis/{k}.json", _tree(ANALYSIS) | {"fingerprint": _tree(_below("fingerprint", ANALYSIS))})
        metrics = dict.fromkeys(metric_keys(k), 1.0) | {"feature": {"name": "clip"}} | (changes if k else {})
        write_json(place.root / f"metrics/{k}.json", metrics)
    path = place.root / "metrics/1.json"
    path.write_text(path.read_text().replace('"INFINITE"', "1e999"))


def _below(name: str, keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(key.partition(".")[2] for key in keys if key.startswith(f"{name}."))


def _tree(keys: tuple[str, ...]) -> dict[str, Any]:
    """{"a.b": ...} as {"a": {"b": 1.0}}; a denoiser has a name."""
    names = {key.partition(".")[0] for key in keys}
    return {name: _tree(inner) if (inner := _below(name, keys)) else "x" if name == "denoiser" else 1.0 for name in names}
