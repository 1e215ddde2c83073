"""The layout of a safetensors file, decided here: the library orders metadata at random, and holds all data twice."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch


class Shape(NamedTuple):
    """What a safetensors header says of a tensor besides its place."""

    dtype: torch.dtype
    sides: Sequence[int]


@lru_cache(maxsize=1)
def _kinds() -> dict[torch.dtype, str]:
    """The format's names, in the order in which the library writes them: the widest first, so that all are aligned."""
    import torch

    return {
        torch.uint64: "U64", torch.int64: "I64", torch.float64: "F64", torch.float32: "F32", torch.uint32: "U32",
        torch.int32: "I32", torch.bfloat16: "BF16", torch.float16: "F16", torch.uint16: "U16", torch.int16: "I16",
        torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.int8: "I8", torch.uint8: "U8",
        torch.bool: "BOOL",
    }  # fmt: skip


def layout(shapes: Mapping[str, Shape], metadata: Mapping[str, str] | None = None) -> tuple[bytes, list[str]]:
    """What comes before the data (the header with its length), and the names in the order in which their data follow."""
    kinds = list(_kinds())
    order = sorted(shapes, key=lambda name: (kinds.index(shapes[name].dtype), name))
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name in order:
        dtype, sides = shapes[name]
        start, end = end, end + math.prod(sides) * dtype.itemsize
        header[name] = {"data_offsets": [start, end], "dtype": _kinds()[dtype], "shape": list(sides)}
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, order


def raw(tensor: torch.Tensor) -> memoryview:
    """A tensor's bytes in row-major order, without a copy where it is contiguous and on the CPU."""
    import torch

    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
