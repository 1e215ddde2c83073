import shutil
from pathlib import Path

import numpy as np
import pytest

from chains import STEPS, parameters, write_chain
from pipeline.analyse import stage
from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import sha256_bytes
from pipeline.core.images import encode_png, load_image
from pipeline.core.json_files import read_json, read_jsonl, write_jsonl
from pipeline.core.tensors import load_tensors

PARAMS = View(parameters(2), "analyse")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Analysed at k = 0 and 2; read only."""
    layout = write_chain(tmp_path_factory.mktemp("analysed"), iterations=2, prompts=70)
    for k in (0, 2):
        stage.run(PARAMS, k, layout)
    return layout


@pytest.fixture
def own_chain(chain: Layout, tmp_path: Path) -> Layout:
    """A copy to damage."""
    return Layout(Path(shutil.copytree(chain.root, tmp_path / "own")))


def test_diff_is_the_mean_over_images_at_each_step(chain: Layout) -> None:
    expected = load_tensors(chain.traces(2))[0]["diff_norm"].double().mean(dim=0).numpy()
    np.testing.assert_allclose(read_json(chain.analysis(2))["diff"], expected, rtol=1e-6)
    assert len(expected) == STEPS


def test_latents_of_every_image_are_counted(chain: Layout) -> None:
    latents = load_tensors(chain.traces(2))[0]["latents"].double()
    assert read_json(chain.analysis(2))["latents"]["variance"] == pytest.approx(float(latents.var(correction=0)))


def test_the_images_are_those_of_the_manifest(chain: Layout) -> None:
    images = np.stack([load_image(path) for path in sorted(chain.images(2).glob("*.png"))]).astype(np.float64) / 255
    analysis = read_json(chain.analysis(2))
    np.testing.assert_allclose(analysis["colour"]["mean"], images.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(analysis["colour"]["spread"], images.std(axis=(0, 1, 2)), rtol=1e-6)


def test_colours_and_residuals_grow_in_a_chain_that_oversaturates(chain: Layout) -> None:
    real, drawn = read_json(chain.analysis(0)), read_json(chain.analysis(2))
    assert np.ptp(drawn["colour"]["spread"]) != 0.0 and np.mean(drawn["colour"]["spread"]) > np.mean(real["colour"]["spread"])
    assert drawn["fingerprint"]["power"] > real["fingerprint"]["power"]
    assert sum(drawn["spectrum"]["radial"][10:]) > sum(real["spectrum"]["radial"][10:])


def test_the_real_images_have_no_traces(chain: Layout) -> None:
    shared = {"k", "spectrum", "fingerprint", "colour"}
    assert set(read_json(chain.analysis(0))) == shared
    assert set(read_json(chain.analysis(2))) == shared | {"diff", "sigmas", "scales", "latents"}


def test_the_maps_belong_to_the_fingerprint(chain: Layout) -> None:
    maps = {name: tensor.numpy() for name, tensor in load_tensors(chain.analysis_maps(2))[0].items()}
    fingerprint = read_json(chain.analysis(2))["fingerprint"]
    assert {name: (values.shape, values.dtype) for name, values in maps.items()} == {
        "residual_spectrum": ((64, 64), np.float32), "autocorrelation": ((64, 64), np.float32),
    }  # fmt: skip
    assert maps["residual_spectrum"].mean() == pytest.approx(fingerprint["power"], rel=1e-5)
    assert maps["autocorrelation"][32, 32] == maps["autocorrelation"].max() == 1.0
    assert fingerprint["denoiser"] == "wavelet"


@pytest.mark.parametrize("workers", [1, 3])
def test_neither_another_run_nor_the_number_of_threads_changes_a_byte(chain: Layout, workers: int) -> None:
    outputs = (chain.analysis(2), chain.analysis_maps(2))
    before = [path.read_bytes() for path in outputs]
    stage.run(PARAMS, 2, chain, workers)
    assert [path.read_bytes() for path in outputs] == before


def test_images_of_two_sizes_are_refused(own_chain: Layout) -> None:
    content = encode_png(np.zeros((32, 32, 3), dtype=np.uint8))
    own_chain.images(2).joinpath("00003.png").write_bytes(content)
    rows = read_jsonl(own_chain.manifest(2))
    write_jsonl(
        own_chain.manifest(2), [row | {"sha256": sha256_bytes(content)} if row["file"] == "00003.png" else row for row in rows]
    )
    with pytest.raises(UserError, match=r"D_2: images must share one size, got sides 64 and 32"):
        stage.run(PARAMS, 2, own_chain)


def test_dncnn_without_weights_is_told(own_chain: Layout) -> None:
    with pytest.raises(UserError, match="denoiser_weights must name its safetensors file"):
        stage.run(View(parameters(1, denoiser="dncnn"), "analyse"), 0, own_chain)


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_trace_that_cannot_be_read_is_named(own_chain: Layout, damage: str) -> None:
    content = own_chain.traces(2).read_bytes()
    own_chain.traces(2).unlink()
    if damage == "truncated":
        own_chain.traces(2).write_bytes(content[:100])
    with pytest.raises(UserError, match=r"traces/2\.safetensors"):
        stage.run(PARAMS, 2, own_chain)
