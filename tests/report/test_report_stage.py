import json
from pathlib import Path

import pytest

from chains import parameters
from pipeline.chain.params import Params, View
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import write_text
from pipeline.core.json_files import read_json
from pipeline.core.tensors import load_tensors, save_tensors
from pipeline.report import stage
from report.reported import Page, gridded


def test_the_summary_is_the_last_iteration(chain: Layout) -> None:
    last, summary = read_json(chain.metrics(3)), read_json(chain.summary)
    names = {"FID", "FID_1", "collapse_rate", "recall", "clip_score", "SFD", "power_ratio", "generalisation_score"}
    assert set(summary) == names
    assert (summary["FID"], summary["collapse_rate"], summary["SFD"]) == (last["fid"], last["collapse_rate"], last["sfd"])


def test_plots_have_a_row_for_each_iteration_and_the_mean_loss(chain: Layout) -> None:
    rows = read_json(chain.plots / "metrics.json")
    assert [row["k"] for row in rows] == [1, 2, 3]
    assert all({"precision", "generalisation_score", "entropy", "saturation"} <= row.keys() for row in rows)
    assert rows[1]["saturation"] == pytest.approx(read_json(chain.metrics(2))["saturation"], abs=1e-3)
    losses = [row for row in read_json(chain.plots / "loss.json") if row["k"] == 2]
    raw = [float(line.split(",")[1]) for line in chain.losses(2).read_text().splitlines()[1:]]
    assert sum(row["loss"] for row in losses) / len(losses) == pytest.approx(sum(raw) / len(raw), rel=0.05)


def test_another_run_writes_the_same_bytes(chain: Layout, params: Params) -> None:
    outputs = [chain.report, chain.summary, chain.plots / "metrics.json", chain.plots / "loss.json"]
    before = [path.read_bytes() for path in outputs]
    stage.run(View(params, "report"), chain)
    assert [path.read_bytes() for path in outputs] == before


def test_no_path_of_this_machine_is_in_the_page(chain: Layout) -> None:
    assert str(chain.root) not in chain.report.read_text()


def test_one_iteration_is_a_chain_too(chain: Layout, params: Params, tiny_model: Path) -> None:
    single = parameters(1, tiny_model / "clip")
    before = chain.report.read_bytes()
    stage.run(View(single, "report"), chain)
    text = Page(chain.report.read_text()).text
    assert "After one iteration" in text and "collapse rate" not in text
    assert read_json(chain.summary)["collapse_rate"] is None
    stage.run(View(params, "report"), chain)
    assert chain.report.read_bytes() == before


def test_iterations_may_differ_in_shape(chain: Layout, params: Params) -> None:
    manifest, features, analysis = chain.manifest(2), chain.features(2), chain.analysis(2)
    saved = {path: path.read_bytes() for path in (manifest, features, analysis)}
    kept = load_tensors(features)[0]["image"][1:-7]
    save_tensors(features, {"image": kept})
    write_text(manifest, "".join(line + "\n" for line in manifest.read_text().splitlines()[1:-7]))
    write_text(analysis, json.dumps(read_json(analysis) | {"diff": [1.0, 2.0]}))
    stage.run(View(params, "report"), chain)
    assert len(gridded(Page(chain.report.read_text()))) == 30 + 3 * 60 - 8
    restore(saved)


def test_unmeasured_entropies_and_scores_leave_empty_charts(chain: Layout, params: Params) -> None:
    saved = {chain.metrics(k): chain.metrics(k).read_bytes() for k in range(4)}
    nothing = {"entropy": None, "entropy_training": None, "generalisation_score": None}
    for path in saved:
        write_text(path, json.dumps(read_json(path) | nothing))
    stage.run(View(params, "report"), chain)
    assert chain.report.read_text().count("Nothing was recorded") == 2
    restore(saved)


def restore(saved: dict[Path, bytes]) -> None:
    for path, content in saved.items():
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("metrics/2.json", "generalisation_score"),
        ("metrics/0.json", "entropy"),
        ("analysis/1.json", "fingerprint"),
        ("analysis/0.json", "colour"),
    ],
)
def test_a_file_of_an_older_version_is_named(chain: Layout, params: Params, name: str, key: str) -> None:
    path = chain.root / name
    saved = {path: path.read_bytes()}
    write_text(path, json.dumps({k: value for k, value in read_json(path).items() if k != key}))
    with pytest.raises(UserError, match=rf"{name} lacks {key}.*dvc repro"):
        stage.run(View(params, "report"), chain)
    restore(saved)


def test_features_of_other_images_are_reported(chain: Layout, params: Params) -> None:
    saved = {chain.features(2): chain.features(2).read_bytes()}
    save_tensors(chain.features(2), {"image": load_tensors(chain.features(2))[0]["image"][1:]})
    with pytest.raises(UserError, match=r"features/2.safetensors has the shape \[59, 32\], not \[60, dimensions\]"):
        stage.run(View(params, "report"), chain)
    restore(saved)


@pytest.mark.parametrize("name", ["residual_spectrum", "autocorrelation"])
def test_maps_of_an_older_version_are_named(chain: Layout, params: Params, name: str) -> None:
    path = chain.analysis_maps(0)
    saved = {path: path.read_bytes()}
    save_tensors(path, {key: value for key, value in load_tensors(path)[0].items() if key != name})
    with pytest.raises(UserError, match=f"analysis/0.safetensors lacks {name}.*dvc repro"):
        stage.run(View(params, "report"), chain)
    path.write_bytes(b"half a file")
    with pytest.raises(UserError, match="analysis/0.safetensors is not a whole safetensors file"):
        stage.run(View(params, "report"), chain)
    restore(saved)


@pytest.mark.parametrize(
    "missing",
    [
        "models/M_2/loss.csv",
        "models/M_2/lora.safetensors",
        "analysis/3.json",
        "analysis/0.json",
        "analysis/1.safetensors",
        "features/3.safetensors",
        "metrics/1.json",
        "data/D_1/00003.png",
    ],
)
def test_a_missing_piece_is_named(chain: Layout, params: Params, missing: str) -> None:
    path = chain.root / missing
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(UserError, match=missing):
        stage.run(View(params, "report"), chain)
    path.write_bytes(content)


def test_a_loss_table_of_something_else_is_reported(chain: Layout, params: Params) -> None:
    saved = chain.losses(1).read_text()
    write_text(chain.losses(1), "epoch,loss\n1,0.5\n")
    with pytest.raises(UserError, match="columns step and loss"):
        stage.run(View(params, "report"), chain)
    write_text(chain.losses(1), saved)
