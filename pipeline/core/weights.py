"""Model files made by others: refuse pickles, and say what to do about a model that is missing or damaged."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.errors import UserError

PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"})
_ZIP, _PICKLE = b"PK\x03\x04", re.compile(rb"\x80[\x02-\x05]")


def is_pickle(path: Path) -> bool:
    """Tell whether a file is a pickle or torch's zip archive of one, by its name or first bytes."""
    if path.suffix.lower() in PICKLE_SUFFIXES:
        return True
    with path.open("rb") as file:
        start = file.read(4)
    return start == _ZIP or _PICKLE.match(start) is not None


def refused_weights(path: Path, error: Exception) -> UserError:
    """Return the UserError for a file that should be safetensors and is not; `error` is the reader's."""
    if is_pickle(path):
        return UserError(
            f"{path} is a pickle, which can run any code when it is opened; "
            f"convert it with 'redifine convert {shlex.quote(str(path))}' and use the .safetensors file"
        )
    return UserError(f"{path} is not a whole safetensors file ({error}); fetch or make it again")


def refuse_pickles(model: Path, parts: Iterable[str] = ("",)) -> None:
    """Raise UserError for weights in a model's folder, or in its `parts`, that are a pickle without a safetensors twin.

    A model (or VAE) that is one file, or lies in the hub's cache, is refused, too, with the command that makes a folder of it.
    """
    if (model / "snapshots").is_dir():
        raise UserError(
            f"{model} is a folder of the hub's cache, and a chain needs one in diffusers layout; "
            f"run 'redifine base fetch {shlex.quote(str(model))}', and set the folder that it names"
        )
    if model.is_file():
        if is_pickle(model):
            raise refused_weights(model, ValueError())
        raise UserError(
            f"{model} is one file, and a chain needs a folder in diffusers layout; "
            f"run 'redifine base fetch {shlex.quote(str(model))}', and set the folder that it names"
        )
    for folder in (model / part for part in parts):
        for path in sorted(folder.glob("*")):
            if path.suffix.lower() in PICKLE_SUFFIXES and not any(folder.glob("*.safetensors")):
                raise refused_weights(path, ValueError())


def no_model(model: str | Path, key: str = "model") -> UserError:
    """Return the UserError for `key` (params.yaml) that names `model`, which is no folder here."""
    wish = str(model)
    if Path(model).parent.as_posix() == "models/base":
        wish = Path(model).name
    elif wish.startswith(("models/", "/", ".")):
        wish = "MODEL"
    return UserError(
        f"there is no folder {model}; bring the model here with 'redifine base fetch {shlex.quote(wish)}', "
        f"and set {key} (params.yaml) to the folder that it names"
    )


@contextmanager
def loading(what: str, advice: str) -> Iterator[None]:
    """Turn what a `from_pretrained` of diffusers or transformers raises in the block into one UserError."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, ImportError, SafetensorError) as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(f"cannot load {what}: {reason}; {advice}") from error
