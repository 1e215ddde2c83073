"""Which kernel of torch's attention is fastest for each shape that SD 1.5 has at 512x512, forward and with gradients."""

from __future__ import annotations

import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.paper_scale.scale import synchronize

SHAPES = {
    "self, 4096": (4096, 4096, 40), "self, 1024": (1024, 1024, 80), "self, 256": (256, 256, 160), "self, 64": (64, 64, 160),
    "cross, 4096": (4096, 227, 40), "cross, 1024": (1024, 227, 80), "cross, 256": (256, 227, 160),
}  # fmt: skip
"""Queries, keys and width of a head; 8 heads."""

BACKENDS = (
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.MATH,
)
HEADS, REPEATS = 8, 50


def compare(device: str, rows: int, gradients: bool) -> dict[str, float]:
    """{"self, 4096, FLASH_ATTENTION": milliseconds, ...} for a batch of `rows`, without kernels that do not take a shape."""
    found: dict[str, float] = {}
    for name, (queries, keys, width) in SHAPES.items():
        shapes = (queries, keys, keys)
        tensors = [
            torch.randn(rows, HEADS, n, width, device=device, dtype=torch.float16, requires_grad=gradients) for n in shapes
        ]
        for backend in BACKENDS:
            try:
                found[f"{name}, {backend.name}"] = _milliseconds(tensors, backend, gradients, device)
            except RuntimeError:
                continue
    for name, milliseconds in found.items():
        print(f"{name:36} {milliseconds:8.3f} ms", flush=True)
    return found


def _milliseconds(tensors: list[torch.Tensor], backend: SDPBackend, gradients: bool, device: str) -> float:
    query, key, value = tensors

    def once() -> None:
        with sdpa_kernel(backend):
            result = scaled_dot_product_attention(query, key, value)
        if gradients:
            result.sum().backward()

    for _ in range(3):
        once()
    synchronize(device)
    began = time.perf_counter()
    for _ in range(REPEATS):
        once()
    synchronize(device)
    return (time.perf_counter() - began) / REPEATS * 1000
