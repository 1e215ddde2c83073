"""Write files and folders whole or not at all; hash and read them."""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pipeline.core.errors import CANNOT_WRITE, UserError


def sha256_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Hash a file's content, in hexadecimal. An OSError names the file, which Python's own leaves out while reading."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        error.filename = os.fspath(path)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write all of `content` or nothing, even when the power fails. A full disk is a UserError."""
    with atomic_file(path) as file:
        file.write(content)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that becomes `path` when the block succeeds, and vanishes when it fails.

    Raise UserError when it cannot be written, or when the block cannot read a file.
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
                raise _explain(error, partial, path) from error
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
    return UserError(f"cannot write {path}: {reason}; nothing was changed, check free space and permissions, and run again")


def replace_bytes(path: Path, content: bytes) -> None:
    """Write all of `content` or nothing into a person's file: its permissions stay, and a link stays a link."""
    target = path.resolve()
    with atomic_file(target) as file:
        if target.exists():
            os.chmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
        file.write(content)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def decode_text(content: bytes) -> str:
    """Decode UTF-8, with or without a byte order mark, or UTF-16 and UTF-32 with one. Raise UnicodeDecodeError for others."""
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return content.decode("utf-32")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    return content.decode("utf-8-sig")


def read_text(path: Path) -> str:
    """Read a UTF-8 text file. Raise UserError when it is missing, no file, or not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; run the stage that makes it ('dvc repro') or fetch it ('dvc pull')") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text; save it as UTF-8, or restore it with 'dvc checkout'") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; fix the cause and run again") from error


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `target` when the block succeeds, and vanishes when it fails.

    Raise UserError when it cannot be written, or when the block cannot read a file.
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
            raise _explain(error, partial, target) from error
        with _writing(target):
            _replace(partial, target, old)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _cannot_write(target, error) from error


def _explain(error: OSError, partial: Path, target: Path) -> Exception:
    """Return what a failure means while `target` is written as `partial`: a write to it, a full disk, a read, or neither."""
    name = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
    place = partial.absolute()
    if error.errno in CANNOT_WRITE or (name is not None and place in (name.absolute(), *name.absolute().parents)):
        return _cannot_write(target, error)
    if name is not None:
        return UserError(f"cannot read {name}: {error.strerror}; {target} was left as it was")
    return error


def _replace(new: Path, target: Path, aside: Path) -> None:
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


def remove_scratch(folder: Path) -> None:
    """Remove a scratch folder, and the folder around it when nothing else is in there."""
    remove_folder(folder)
    if folder.parent.is_dir() and not any(folder.parent.iterdir()):
        folder.parent.rmdir()


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` a hard link to `source`, which takes no space, or a copy where the file system has no such links."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def free_bytes(folder: Path) -> int:
    """Return the free disk space where `folder` is, or will be. Raise UserError when a file is in its way."""
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise UserError(f"{folder} is a file where a folder must be; move it away and run again")
    return shutil.disk_usage(os.fspath(folder)).free


PROJECT_FILE = "dvc.yaml"
"""The file that is at the root of every project."""


def project_root(start: Path | None = None) -> Path:
    """Return the folder at or above `start` (the current one) that holds dvc.yaml; `start` itself when none does."""
    start = start or Path().resolve()
    for folder in (start, *start.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder
    return start


IN_CACHE = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")
"""A `cache_path` in any project's cache, where the links of a folder lead that DVC has checked out by linking."""


def cache_path(cache: Path, md5: str) -> Path:
    """Return where the content with this checksum lies, if the cache has it."""
    return cache / md5[:2] / md5[2:]
