from pathlib import Path

import numpy as np
import pytest
import torch

from chains import parameters, write_chain
from pipeline.chain.params import Params, View
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.json_files import read_json, write_json
from pipeline.core.tensors import load_tensors, save_tensors
from pipeline.measure import stage
from pipeline.methods.measures.clip_score import clip_score
from pipeline.methods.measures.frechet import frechet_distance


@pytest.fixture(scope="module")
def params(tiny_model: Path) -> Params:
    return parameters(3, tiny_model / "clip")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, params: Params) -> Layout:
    layout = write_chain(tmp_path_factory.mktemp("measured"), iterations=3, prompts=8, images_per_prompt=2)
    for k in range(4):
        stage.run(View(params, "measure"), k, layout, "cpu")
    return layout


def test_every_iteration_has_every_metric(chain: Layout) -> None:
    keys = {"k", "n", "images", "fid", "fid_1", "fid_floor", "collapse_rate", "precision", "recall", "clip_score", "sfd",
            "power", "power_spread", "power_ratio", "saturation", "feature", "generalisation_score", "entropy",
            "entropy_training"}  # fmt: skip
    assert all(set(read_json(chain.metrics(k))) == keys for k in (1, 2, 3))
    assert [read_json(chain.metrics(k))["n"] for k in (0, 1)] == [8, 8]
    assert read_json(chain.metrics(1))["images"] == 16


def test_fid_compares_one_image_of_each_prompt_with_the_real_images(chain: Layout) -> None:
    drawn, real = (load_tensors(chain.features(k))[0]["image"].numpy() for k in (2, 0))
    assert len(drawn) == 2 * len(real)
    assert read_json(chain.metrics(2))["fid"] == pytest.approx(frechet_distance(drawn[::2], real))


def test_the_first_fid_is_carried_on_and_gives_the_collapse_rate(chain: Layout) -> None:
    first, _, third = (read_json(chain.metrics(k)) for k in (1, 2, 3))
    assert (first["fid_1"], first["collapse_rate"]) == (first["fid"], None)
    assert third["fid_1"] == first["fid"]
    assert third["collapse_rate"] == pytest.approx((third["fid"] - first["fid"]) / 2)


def test_worse_images_measure_worse(chain: Layout) -> None:
    for metric in ("fid", "sfd", "power_ratio", "saturation"):
        values = [read_json(chain.metrics(k))[metric] for k in (1, 2, 3)]
        assert values == sorted(values), metric


def test_the_real_images_score_against_their_own_prompts(chain: Layout) -> None:
    real = {name: tensor.numpy() for name, tensor in load_tensors(chain.features(0))[0].items()}
    assert read_json(chain.metrics(0))["clip_score"] == pytest.approx(clip_score(real["clip_image"], real["text"]))
    assert real["text"].shape == real["clip_image"].shape == (8, 16)
    assert real["image"].dtype == np.float32


def test_preprocessing_stands_beside_the_numbers(chain: Layout) -> None:
    assert "bicubic (antialiased) to 64" in read_json(chain.metrics(1))["feature"]["preprocessing"]


def test_another_run_writes_the_same_bytes(chain: Layout, params: Params) -> None:
    before = [path.read_bytes() for path in (chain.metrics(2), chain.features(2), chain.features(0))]
    for k in (0, 2):
        stage.run(View(params, "measure"), k, chain, "cpu")
    assert [path.read_bytes() for path in (chain.metrics(2), chain.features(2), chain.features(0))] == before


def test_a_separate_feature_model_gives_the_same_as_a_shared_one(chain: Layout, params: Params, tiny_model: Path) -> None:
    same_folder_by_another_name = params.model_copy(update={"feature_model": f"{tiny_model}/./clip"})
    shared = read_json(chain.metrics(1))
    stage.run(View(same_folder_by_another_name, "measure"), 1, chain, "cpu")
    separate = read_json(chain.metrics(1))
    stage.run(View(params, "measure"), 1, chain, "cpu")
    assert shared | {"feature": None} == separate | {"feature": None}


def test_an_exchanged_image_is_named(tmp_path: Path, params: Params) -> None:
    layout = write_chain(tmp_path, iterations=1, prompts=6)
    (layout.images(0) / "00004.png").write_bytes((layout.images(0) / "00003.png").read_bytes())
    with pytest.raises(UserError, match=r"00004\.png is not the image that its manifest\.jsonl records"):
        stage.run(View(params, "measure"), 0, layout, "cpu")


def test_too_few_images_are_reported_before_anything_is_trained(tmp_path: Path, params: Params) -> None:
    layout = write_chain(tmp_path, iterations=1, prompts=5)
    with pytest.raises(UserError, match="only 5 images; lower it, or use at least 6 prompts"):
        stage.run(View(params, "measure"), 0, layout, "cpu")


def test_a_manifest_without_images_is_reported(tmp_path: Path, params: Params) -> None:
    layout = Layout(tmp_path)
    layout.images(0).mkdir(parents=True)
    layout.manifest(0).write_text("")
    with pytest.raises(UserError, match="lists no images"):
        stage.run(View(params, "measure"), 0, layout, "cpu")


def test_what_an_earlier_measurement_lacks_is_named(tmp_path: Path, params: Params) -> None:
    layout = write_chain(tmp_path, iterations=2, prompts=6)
    for k in (0, 1):
        stage.run(View(params, "measure"), k, layout, "cpu")
    write_json(layout.metrics(1), {"fid_1": None})
    with pytest.raises(UserError, match=r"metrics/1\.json lacks fid_1"):
        stage.run(View(params, "measure"), 2, layout, "cpu")
    save_tensors(layout.features(0), {name: torch.ones(6, 3) for name in ("image", "text")})
    with pytest.raises(UserError, match=r"features/0\.safetensors is of another feature model"):
        stage.run(View(params, "measure"), 1, layout, "cpu")
    write_json(layout.metrics(0), {})
    with pytest.raises(UserError, match=r"metrics/0\.json lacks fid_floor, power"):
        stage.run(View(params, "measure"), 1, layout, "cpu")
