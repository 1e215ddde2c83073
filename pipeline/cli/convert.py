"""The command `redifine convert`: a pickle of tensors -> safetensors, without running what the pickle may hold."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.project_folder import GivenPath
from pipeline.core.errors import UserError
from pipeline.core.tensors import save_tensors

if TYPE_CHECKING:
    import torch

_NAMES = {"pytorch_model.bin": "model.safetensors"}
"""Where a reader of safetensors looks under another name."""

_BESIDE = re.compile(r"(pytorch_lightning|lightning|lightning_fabric|omegaconf|numpy)(\.\w+)+|_codecs\.encode")
"""What lies beside the tensors in the first Stable Diffusion checkpoints: the state of a training, not needed."""


class _Inert:
    """Stands for an object of a training framework: it takes what the pickle gives it, and does nothing."""

    def __new__(cls, *_arguments: Any) -> _Inert:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


@click.command(short_help="A pickled checkpoint -> safetensors, safely.")
@click.argument("file", type=GivenPath(exists=True, dir_okay=False))
@click.option("--out", type=GivenPath(dir_okay=False), help="Default: beside FILE, as .safetensors.")
def convert(file: Path, out: Path | None) -> None:
    """Read the tensors of a .pt, .ckpt or .bin FILE with torch's restricted reader, and write them as safetensors.

    Example: redifine convert lora.pt
    """
    target = out or file.with_name(_NAMES.get(file.name, f"{file.stem}.safetensors"))
    if target.exists():
        raise UserError(f"{target} is there already; move it away, or name another file with --out")
    click.echo(f"{convert_file(file, target)} tensors in {target}")


def convert_file(source: Path, target: Path) -> int:
    """Write `source`'s tensors to `target`, returning their number. Raises UserError when it holds anything but tensors.

    The objects that a training framework left beside them (Lightning's callbacks, omegaconf's settings) are dropped unread.
    """
    import pickle

    try:
        content = _read(source)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{source} holds more than tensors, and opening it could run code; ask its author for safetensors"
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(f"{source} is damaged or no checkpoint of torch's; fetch it again") from error
    tensors = _tensors(content)
    if not tensors:
        raise UserError(f"{source} holds no named tensors; only a state_dict can become safetensors")
    save_tensors(target, _apart(tensors))
    return len(tensors)


def _read(source: Path) -> Any:
    """A checkpoint through torch's restricted reader, which builds tensors and plain values; nothing is called or imported."""
    import torch
    from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

    try:
        foreign = get_unsafe_globals_in_checkpoint(source)
    except (OSError, RuntimeError, ValueError):
        # A pickle that is no zip archive, or nothing at all: the reader itself says which.
        foreign = []
    stand_ins: list[Any] = [(_Inert, name) for name in foreign if _BESIDE.fullmatch(name)]
    with safe_globals(stand_ins):
        return torch.load(source, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(source))


def _apart(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors without shared memory and contiguous, as safetensors wants them; a copy only where one is needed."""
    import torch

    seen: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        found[name] = tensor.clone(memory_format=torch.contiguous_format) if place in seen else tensor.contiguous()
        seen.add(place)
    return found


def _tensors(content: Any) -> dict[str, torch.Tensor]:
    """The tensors of a state_dict, which may lie in an entry of that name beside an optimiser's."""
    import torch

    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        return {}
    return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
