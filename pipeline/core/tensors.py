"""Safetensors files: equal tensors give equal bytes.

The layout is decided here: the library orders metadata at random, and holds all data twice.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.core.errors import UserError
from pipeline.core.files import atomic_file
from pipeline.core.weights import refused_weights

if TYPE_CHECKING:
    import numpy as np
    import torch

_ROWS = 64


class TensorSpec(NamedTuple):
    """What a safetensors header says of a tensor besides its offsets."""

    dtype: torch.dtype
    shape: Sequence[int]


@lru_cache(maxsize=1)
def _kinds() -> dict[torch.dtype, str]:
    """Return the format's names, in the order in which the library writes them: the widest first, so that all are aligned."""
    import torch

    return {
        torch.uint64: "U64", torch.int64: "I64", torch.float64: "F64", torch.float32: "F32", torch.uint32: "U32",
        torch.int32: "I32", torch.bfloat16: "BF16", torch.float16: "F16", torch.uint16: "U16", torch.int16: "I16",
        torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.int8: "I8", torch.uint8: "U8",
        torch.bool: "BOOL",
    }  # fmt: skip


def header_and_order(specs: Mapping[str, TensorSpec], metadata: Mapping[str, str] | None = None) -> tuple[bytes, list[str]]:
    """Return what comes before the data (the header with its length), and the names in the order in which their data follow."""
    kinds = list(_kinds())
    order = sorted(specs, key=lambda name: (kinds.index(specs[name].dtype), name))
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name in order:
        dtype, shape = specs[name]
        start, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {"data_offsets": [start, end], "dtype": _kinds()[dtype], "shape": list(shape)}
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, order


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """Return a tensor's bytes in row-major order, without a copy where it is contiguous and on the CPU."""
    import torch

    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write safetensors canonically, without holding the data a second time."""
    start, order = header_and_order(
        {name: TensorSpec(tensor.dtype, tensor.shape) for name, tensor in tensors.items()}, metadata
    )
    with atomic_file(path) as file:
        file.write(start)
        for name in order:
            file.write(tensor_bytes(tensors[name]))


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read a safetensors file's tensors and metadata. Raise UserError when it is missing or damaged."""
    with _opened(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def read_array(path: Path, name: str) -> np.ndarray:
    """Read one tensor of a safetensors file. Raise UserError when the file is missing or damaged, or lacks the tensor."""
    with _opened(path, name) as file:
        array: np.ndarray = file.get_tensor(name)
    return array


def read_array_in_parts(path: Path, name: str) -> Iterator[np.ndarray]:
    """Read one tensor of a safetensors file 64 rows at a time. Raise UserError as `read_array` does."""
    with _opened(path, name) as file:
        count = file.get_slice(name).get_shape()[0]
    for start in range(0, count, _ROWS):
        # Opened anew: the pages read so far stay mapped as long as the file is open.
        with _opened(path, name) as file:
            part = file.get_slice(name)[start : min(start + _ROWS, count)]
        yield part


@contextmanager
def _opened(path: Path, *required: str, framework: str = "np") -> Iterator[Any]:
    """Open a safetensors file that must hold the tensors `required`. Raise UserError for what keeps it from being read."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"{path} does not exist; run the stage that makes it ('dvc repro') or fetch it ('dvc pull')")
    try:
        with safe_open(path, framework=framework) as file:
            if missing := sorted(set(required) - set(file.keys())):
                raise UserError(f"{path} lacks {', '.join(missing)}: an older version made it; make it again with 'dvc repro'")
            yield file
    except (SafetensorError, OSError, TypeError) as error:  # TypeError: a type that numpy does not have
        raise refused_weights(path, error) from error


class TensorInfo(NamedTuple):
    """Type ("F16") and shape of one tensor of a file."""

    dtype: str
    shape: tuple[int, ...]


def read_header(path: Path) -> dict[str, TensorInfo]:
    """List a safetensors file's tensors by its header alone. Raise UserError for a pickle, and when bytes are missing."""
    with _opened(path) as file:
        tensors = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        return {name: TensorInfo(tensor.get_dtype(), tuple(tensor.get_shape())) for name, tensor in tensors.items()}


def read_metadata(path: Path) -> dict[str, str]:
    """Return what a safetensors file says of itself. Raise UserError as `read_header` does."""
    with _opened(path) as file:
        return dict(file.metadata() or {})
