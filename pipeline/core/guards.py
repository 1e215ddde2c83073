"""Refuse what a file made by others could smuggle in: pickles, paths that leave their folder, text that cannot be kept."""

from __future__ import annotations

import json
import math
import re
import reprlib
import shlex
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from types import UnionType
from typing import Any

from pipeline.core.errors import UserError

PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"})
_LONGEST_SHOWN = 120
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that show nothing, and let a text be read in another order than a model gets it in."""
_ZIP, _PICKLE = b"PK\x03\x04", re.compile(rb"\x80[\x02-\x05]")


def shown(value: Any) -> str:
    """A value from a file, short enough for a sentence however it nests."""
    found = reprlib.repr(value)
    return found if len(found) <= _LONGEST_SHOWN else f"{found[:_LONGEST_SHOWN]}..."


def fault_of_text(text: str) -> str | None:
    """What keeps a caption, prompt or parameter from being stored and shown as it is; None when nothing does.

    Tab and line breaks are no fault: they count as spaces.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"U+{ord(text[error.start]):04X} at position {error.start + 1}, which no UTF-8 text can hold"
    for place, character in enumerate(text, 1):
        if (character < " " or "\x7f" <= character <= "\x9f") and not character.isspace():
            return f"the control character U+{ord(character):04X} at position {place}"
        if character in _REORDERING:
            return f"the invisible character U+{ord(character):04X} at position {place}, which turns text around"
    return None


def image_errors() -> tuple[type[Exception], ...]:
    """What Pillow's decoders raise for bytes that are no image, besides UnidentifiedImageError, an OSError."""
    import struct
    import zlib

    from PIL.Image import DecompressionBombError, DecompressionBombWarning

    bombs = (DecompressionBombError, DecompressionBombWarning)
    return (*bombs, OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, struct.error, zlib.error)


def is_file_name(value: str) -> bool:
    """Whether `value` names a file in a folder, and not another folder's."""
    return value not in ("", ".", "..") and not any(character in value for character in "/\\\0")


def is_inner_path(value: str) -> bool:
    """Whether `value` is a path below the folder that it is relative to, and stays there."""
    parts = PurePosixPath(value).parts
    return bool(parts) and not value.startswith("/") and ".." not in parts and not any(c in value for c in "\\\0")


def is_pickle(path: Path) -> bool:
    """Whether a file is a pickle or torch's zip archive of one, by its name or first bytes."""
    if path.suffix.lower() in PICKLE_SUFFIXES:
        return True
    with path.open("rb") as file:
        start = file.read(4)
    return start == _ZIP or _PICKLE.match(start) is not None


def refused_weights(path: Path, error: Exception) -> UserError:
    """Why a file that should be safetensors is not read; `error` is the reader's."""
    if is_pickle(path):
        return UserError(
            f"{path} is a pickle, which can run any code when it is opened; "
            f"convert it with 'redifine convert {shlex.quote(str(path))}' and use the .safetensors file"
        )
    return UserError(f"{path} is not a whole safetensors file ({error}); fetch or make it again")


def refuse_pickles(model: Path, parts: Iterable[str] = ("",)) -> None:
    """Raise UserError for weights in a model's folder, or in its `parts`, that are a pickle without a safetensors twin.

    A model (or VAE) that is one file is refused, too, with the command that makes a folder of it.
    """
    if model.is_file():
        raise _one_file(model)
    for folder in (model / part for part in parts):
        for path in sorted(folder.glob("*")):
            if path.suffix.lower() in PICKLE_SUFFIXES and not any(folder.glob("*.safetensors")):
                raise refused_weights(path, ValueError())


def _one_file(model: Path) -> UserError:
    if is_pickle(model):
        return refused_weights(model, ValueError())
    return UserError(
        f"{model} is one file, and a chain needs a folder in diffusers layout; "
        f"run 'redifine base fetch {shlex.quote(str(model))}', and set the folder that it names"
    )


def no_model(model: str | Path, key: str = "model") -> UserError:
    """Why `key` (params.yaml) cannot be `model`, which is no folder here."""
    wish = str(model)
    if Path(model).parent.as_posix() == "models/base":
        wish = Path(model).name
    elif wish.startswith(("models/", "/", ".")):
        wish = "MODEL"
    return UserError(
        f"there is no folder {model}; bring the model here with 'redifine base fetch {shlex.quote(wish)}', "
        f"and set {key} (params.yaml) to the folder that it names"
    )


def parsed_json(text: str) -> Any:
    """JSON without NaN and infinity, which Python's reader lets through. Raises ValueError, RecursionError."""

    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} is no JSON number")

    return json.loads(text, parse_constant=refuse)


def is_a(value: Any, kind: type | UnionType) -> bool:
    """Whether a value is of a kind; true and infinity (which may be written 1e999) are no numbers."""
    return isinstance(value, kind) and not isinstance(value, bool) and not (isinstance(value, float) and math.isinf(value))


def fits(key: str, value: Any) -> bool:
    """Whether a value may stand under `key` in one of the chain's lists of images, captions or prompts."""
    if key in ("index", "prompt_index", "image_index", "k", "offset", "size"):
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not isinstance(value, str) or fault_of_text(value):
        return False
    if key in ("file", "shard"):
        return is_file_name(value)
    return key != "path" or is_inner_path(value)
