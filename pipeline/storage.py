"""Read and write the chain's files so that equal content means equal bytes: sorted keys, no time stamps, no half files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, BinaryIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipeline.errors import FULL, UserError
from pipeline.guards import fits, image_errors, is_a, parsed_json, refused_weights
from pipeline.tensors import Shape, layout, raw

if TYPE_CHECKING:
    import numpy as np
    import torch


def sha256_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Hash of a file's content, in hexadecimal. An OSError names the file, which Python's own leaves out while reading."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        error.filename = os.fspath(path)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write all of `content` or nothing, even when the power fails. A full disk is a UserError."""
    with whole_file(path) as file:
        file.write(content)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that becomes `path` when the block succeeds, and vanishes when it fails.

    Raises UserError when it cannot be written, or when the block cannot read a file.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = partial.open("wb")
        with _writing(path), file:
            try:
                yield file
            except OSError as error:
                raise _explained(error, partial, path) from error
            file.flush()
            os.fsync(file.fileno())
        with _writing(path):
            partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> UserError:
    obstacle = next((folder for folder in path.parents if folder.exists() and not folder.is_dir()), None)
    if obstacle is not None:
        return UserError(f"cannot write {path}: {obstacle} is a file where a folder must be; move it away and run again")
    reason = error.strerror or str(error)
    return UserError(f"cannot write {path}: {reason}; nothing was changed, make room or rights and run again")


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Indented, keys sorted; NaN and infinity are refused with ValueError, because JSON has none."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    lines = [json.dumps(row, sort_keys=True, allow_nan=False, ensure_ascii=False) for row in rows]
    write_text(path, "".join(line + "\n" for line in lines))


def read_json(path: Path, required: Mapping[str, type | UnionType] | None = None) -> Any:
    """Content of a JSON file. Raises UserError when it is damaged, or no mapping with the `required` keys and types."""
    try:
        value = parsed_json(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); restore it with 'dvc checkout'") from error
    found = value if isinstance(value, dict) else {}
    if missing := [key for key, kind in (required or {}).items() if not is_a(found.get(key), kind)]:
        raise UserError(
            f"{path} lacks {', '.join(missing)}, or has another kind of value there; "
            "restore it with 'dvc checkout', or make it again with 'dvc repro -f'"
        )
    return value


def read_jsonl(path: Path, required: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Rows of a JSON-lines file. Raises UserError when one is damaged, or lacks a `required` key or its kind of value."""
    required = tuple(required)
    rows = []
    # Not splitlines(): it also breaks at characters that a caption may hold, such as U+2028.
    for number, line in enumerate(read_text(path).removesuffix("\n").split("\n"), 1):
        if not line:
            continue
        try:
            row = parsed_json(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}, line {number} is not valid JSON ({error}); restore it with 'dvc checkout'") from error
        if not isinstance(row, dict) or not all(fits(key, row.get(key)) for key in required):
            raise UserError(
                f"{path}, line {number} must have {', '.join(required)}, with plain text, numbers and paths inside the set; "
                "restore it with 'dvc checkout'"
            )
        rows.append(row)
    return rows


def read_text(path: Path) -> str:
    """A UTF-8 text file. Raises UserError when it is missing, no file, or not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; run the stage that makes it ('dvc repro') or fetch it ('dvc pull')") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text; save it as UTF-8, or restore it with 'dvc checkout'") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; mend the cause and run again") from error


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `target` when the block succeeds, and vanishes when it fails.

    Raises UserError when it cannot be written, or when the block cannot read a file.
    """
    if target.exists() and not target.is_dir():
        raise UserError(f"{target} is a file where a folder must be; move it away and run again")
    partial, old = target.with_name(f".{target.name}.partial"), target.with_name(f".{target.name}.old")
    if old.is_dir() and not target.exists():
        old.replace(target)  # the last run was killed between its two renames
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        with _writing(target):
            partial.mkdir(parents=True)
        try:
            yield partial
        except OSError as error:
            raise _explained(error, partial, target) from error
        with _writing(target):
            _take_place(partial, target, old)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _cannot_write(target, error) from error


def _explained(error: OSError, partial: Path, target: Path) -> Exception:
    """What a failure means while `target` is written as `partial`: a write to it, a full disk, a read, or neither."""
    name = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
    place = partial.absolute()
    if error.errno in FULL or (name is not None and place in (name.absolute(), *name.absolute().parents)):
        return _cannot_write(target, error)
    if name is not None:
        return UserError(f"cannot read {name}: {error.strerror}; {target} was left as it was")
    return error


def _take_place(new: Path, target: Path, aside: Path) -> None:
    """Move `new` to `target`; what was there steps aside first and is lost only when the new one stands."""
    if target.exists():
        target.replace(aside)
    try:
        new.replace(target)
    except OSError:
        if aside.exists():
            aside.replace(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder, under another name first: killed on the way, it leaves no part that could be taken for the whole."""
    gone = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(gone, ignore_errors=True)
    with suppress(OSError):
        folder.replace(gone)
    shutil.rmtree(gone, ignore_errors=True)


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write safetensors canonically, without holding the data a second time."""
    start, order = layout({name: Shape(tensor.dtype, tensor.shape) for name, tensor in tensors.items()}, metadata)
    with whole_file(path) as file:
        file.write(start)
        for name in order:
            file.write(raw(tensors[name]))


def load_tensors(path: Path, required: Iterable[str] = ()) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file. Raises UserError when it is missing, damaged or lacks a tensor."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"{path} does not exist; run the stage that makes it ('dvc repro') or fetch it ('dvc pull')")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise refused_weights(path, error) from error
    if missing := sorted(set(required) - tensors.keys()):
        raise UserError(f"{path} has no tensor {', '.join(missing)}; restore it with 'dvc checkout' or make it again")
    return tensors, metadata


def read_array(path: Path, name: str) -> np.ndarray:
    """One tensor of a safetensors file. Raises UserError when the file is missing or damaged, or lacks the tensor."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"{path} does not exist; run the stage that makes it ('dvc repro') or fetch it ('dvc pull')")
    try:
        with safe_open(path, framework="np") as file:
            names = set(file.keys())
            array: np.ndarray | None = file.get_tensor(name) if name in names else None
    except (SafetensorError, OSError, TypeError) as error:
        raise refused_weights(path, error) from error
    if array is None:
        raise UserError(f"{path} lacks {name}: an older version made it; make it again with 'dvc repro'")
    return array


def encode_png(pixels: np.ndarray, text: Mapping[str, str] | None = None) -> bytes:
    """[H,W,3] uint8 -> PNG bytes, with `text` in text chunks in the order of its keys. Level 1: 4 times faster than 6."""
    info = PngInfo()
    for key in sorted(text or {}):
        value = (text or {})[key]
        if value.isascii():
            info.add_text(key, value)
        else:
            info.add_itxt(key, value)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info, compress_level=1)
    return buffer.getvalue()


def load_image(path: Path) -> np.ndarray:
    """An image file of a D_k -> [H,W,3] uint8 RGB. Raises UserError when it is missing, truncated or no image."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; run the stage that makes it ('dvc repro') or fetch it ('dvc pull')") from error
    except OSError as error:
        raise _damaged_image(path) from error
    return decode_image(content, path)


def decode_image(content: bytes, path: Path) -> np.ndarray:
    """The bytes of a PNG -> [H,W,3] uint8 RGB. Raises UserError, of the image at `path`, when they are none."""
    import numpy as np

    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            return np.asarray(image.convert("RGB"))
    except image_errors() as error:
        raise _damaged_image(path) from error


def _damaged_image(path: Path) -> UserError:
    folder = path.parent
    return UserError(f"{path} is damaged or no image; restore {folder.name} with 'dvc checkout {folder.as_posix()}'")


def free_bytes(folder: Path) -> int:
    """Free disk space where `folder` is, or will be. Raises UserError when a file is in its way."""
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise UserError(f"{folder} is a file where a folder must be; move it away and run again")
    return shutil.disk_usage(os.fspath(folder)).free
