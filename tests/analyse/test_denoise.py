from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import torch
from analyse.sample_images import smooth

from pipeline.analyse.denoise import Denoiser, load_denoiser
from pipeline.core.errors import UserError
from pipeline.core.tensors import save_tensors


def error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.sqrt(np.square(found - expected).mean()))


def noisy(image: np.ndarray, deviation: float) -> np.ndarray:
    return (image + np.random.default_rng(0).normal(0, deviation, image.shape)).astype(np.float32)


@pytest.fixture
def box_weights(tmp_path: Path) -> Path:
    """A DnCNN whose noise is the image less its 3x3 mean: ReLU(x) - ReLU(-x) = x carries it past the activation."""
    high_pass = -torch.ones(3, 3) / 9
    high_pass[1, 1] += 1
    first, last = torch.zeros(6, 3, 3, 3), torch.zeros(3, 6, 3, 3)
    for channel in range(3):
        first[channel, channel], first[channel + 3, channel] = high_pass, -high_pass
        last[channel, channel, 1, 1], last[channel, channel + 3, 1, 1] = 1.0, -1.0
    path = tmp_path / "dncnn.safetensors"
    save_tensors(path, {"model.0.weight": first, "model.0.bias": torch.zeros(6),
                        "model.2.weight": last, "model.2.bias": torch.zeros(3)})  # fmt: skip
    return path


@pytest.mark.parametrize(("name", "share"), [("wavelet", 0.4), ("nlm", 0.4)])
def test_most_of_the_noise_on_a_smooth_image_goes(name: str, share: float) -> None:
    image = smooth(128)
    assert error(load_denoiser(name)(noisy(image, 0.03)), image) < share * 0.03


@pytest.mark.parametrize("name", ["wavelet", "nlm"])
def test_a_clean_smooth_image_stays(name: str) -> None:
    assert error(load_denoiser(name)(smooth(128)), smooth(128)) < 1 / 255


def test_wavelets_keep_edges_that_a_blur_of_the_same_effect_would_lose() -> None:
    image = np.zeros((128, 128, 3), dtype=np.float32)
    image[:, 40:90] = 0.8
    dirty = noisy(image, 0.03)
    edge = (slice(None), slice(38, 42))
    blurred = scipy.ndimage.gaussian_filter(dirty, (1.5, 1.5, 0))
    assert error(load_denoiser("wavelet")(dirty)[edge], image[edge]) < 0.3 * error(blurred[edge], image[edge])


@pytest.mark.parametrize(("height", "width"), [(64, 64), (63, 77), (9, 12), (5, 5)])
def test_any_size_comes_back_as_it_was(height: int, width: int) -> None:
    image = np.random.default_rng(1).random((height, width, 3), dtype=np.float32)
    found = load_denoiser("wavelet")(image)
    assert (found.shape, found.dtype) == (image.shape, np.float32)


def test_each_channel_is_denoised_alone() -> None:
    image = noisy(smooth(64), 0.03)
    denoise = load_denoiser("wavelet")
    np.testing.assert_allclose(denoise(image[:, :, ::-1]), denoise(image)[:, :, ::-1], atol=1e-6)


def test_dncnn_takes_away_what_its_network_predicts(box_weights: Path) -> None:
    image = np.random.default_rng(2).random((20, 24, 3), dtype=np.float32)
    expected = scipy.ndimage.uniform_filter(image, (3, 3, 1), mode="constant")
    denoise: Denoiser = load_denoiser("dncnn", str(box_weights))
    np.testing.assert_allclose(denoise(image), expected, atol=1e-6)


@pytest.mark.parametrize("missing", ["model.2.bias", "model.0.weight"])
def test_other_weights_are_refused(box_weights: Path, missing: str) -> None:
    from pipeline.core.tensors import load_tensors

    tensors = load_tensors(box_weights)[0]
    save_tensors(box_weights, {name: tensor for name, tensor in tensors.items() if name != missing})
    with pytest.raises(UserError, match=r"dncnn\.safetensors \(denoiser_weights\) is not a DnCNN for RGB"):
        load_denoiser("dncnn", str(box_weights))


def test_grey_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "grey.safetensors"
    save_tensors(path, {"model.0.weight": torch.zeros(6, 1, 3, 3), "model.0.bias": torch.zeros(6),
                        "model.2.weight": torch.zeros(1, 6, 3, 3), "model.2.bias": torch.zeros(1)})  # fmt: skip
    with pytest.raises(UserError, match="from 3 channels to 3"):
        load_denoiser("dncnn", str(path))


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("dncnn", None, "denoiser_weights must name"),
        ("dncnn", "nowhere.safetensors", r"denoiser_weights names nowhere\.safetensors, which does not exist"),
        ("median", None, "must be wavelet, nlm or dncnn, got 'median'"),
    ],
)
def test_a_denoiser_that_cannot_be_had_is_told(name: str, weights: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_denoiser(name, weights)
