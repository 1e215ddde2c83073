"""What besides a stage's inputs decides its bytes: unfinished work is gone on with only where all of it is the same."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version
from pathlib import Path

_LIBRARIES = ("diffusers", "transformers", "accelerate", "safetensors", "numpy")
_PACKAGE = Path(__file__).resolve().parents[1]


def run_environment(device: str) -> dict[str, str | int]:
    """Return this package's code and the machine as `made_on` has it: with another of them, rounding may differ."""
    return {"code": code_hash(_PACKAGE), **made_on(device)}


def made_on(device: str) -> dict[str, str | int]:
    """Return what records of lineage tell of the machine: the GPU's name or the kind of processor, torch's threads, which
    decide how sums are rounded on a processor, and the libraries; no host.
    """
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{device} ({platform.machine()})"
    found: dict[str, str | int] = {library: version(library) for library in _LIBRARIES}
    return found | {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def code_hash(package: Path) -> str:
    """Return one hash of every Python file in a folder, by name and content."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()
