"""The command `redifine convert`: a pickle of tensors -> safetensors, without running what the pickle may hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.errors import UserError

if TYPE_CHECKING:
    import torch

_NAMES = {"pytorch_model.bin": "model.safetensors"}
"""Where a reader of safetensors looks under another name."""


@click.command(short_help="A pickled checkpoint -> safetensors, safely.")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Default: beside FILE, as .safetensors.")
def convert(file: Path, out: Path | None) -> None:
    """Read the tensors of a .pt, .ckpt or .bin FILE with torch's restricted reader, and write them as safetensors.

    Example: redifine convert lora.pt
    """
    target = out or file.with_name(_NAMES.get(file.name, f"{file.stem}.safetensors"))
    if target.exists():
        raise UserError(f"{target} is there already; move it away, or name another file with --out")
    click.echo(f"{convert_file(file, target)} tensors in {target}")


def convert_file(source: Path, target: Path) -> int:
    """Write `source`'s tensors to `target`, returning their number. Raises UserError when it holds anything but tensors."""
    import pickle

    import torch

    from pipeline.storage import save_tensors

    try:
        content = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{source} holds more than tensors, and opening it could run code; ask its author for safetensors"
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(f"{source} is damaged or no checkpoint of torch's; fetch it again") from error
    tensors = _tensors(content)
    if not tensors:
        raise UserError(f"{source} holds no named tensors; only a state_dict can become safetensors")
    # Clones: safetensors refuses tensors that share memory.
    save_tensors(target, {name: tensor.clone() for name, tensor in tensors.items()})
    return len(tensors)


def _tensors(content: Any) -> dict[str, torch.Tensor]:
    """The tensors of a state_dict, which may lie in an entry of that name beside an optimiser's."""
    import torch

    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        return {}
    return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
