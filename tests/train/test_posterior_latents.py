"""Training images are encoded so many at a time that the memory of a training step holds them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from pipeline.train.posterior_latents import encode_images


class Encoder:
    """Stands for a VAE: tells how many images it got at a time."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self) -> None:
        self.given: list[int] = []

    def encode(self, pixels: torch.Tensor) -> SimpleNamespace:
        self.given.append(len(pixels))
        mean = pixels.mean(dim=(2, 3), keepdim=True)
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=mean, std=torch.zeros_like(mean)))


@pytest.mark.parametrize(
    ("side", "count", "given"), [(64, 20, [16, 4]), (512, 6, [4, 2]), (1024, 2, [1, 1]), (2048, 2, [1, 1])]
)
def test_large_images_are_encoded_few_at_a_time(tmp_path: Path, side: int, count: int, given: list[int]) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(count)]
    for shade, path in enumerate(paths):
        Image.new("RGB", (side, side), (shade, 0, 0)).save(path)
    encoder = Encoder()
    moments = encode_images(encoder, paths, False, lambda latents: latents * 0.18215)
    assert encoder.given == given
    torch.testing.assert_close(moments.mean[:, 0, 0, 0, 0], torch.arange(count) / 127.5 - 1)
