"""A data set in the hub's layouts -> rows of image and caption: parquet tables, or images with metadata or .txt beside."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import UserError
from pipeline.core.files import read_text
from pipeline.core.guards import is_inner_path
from pipeline.inputs.datasets.images import SUFFIXES
from pipeline.inputs.datasets.layouts.files import is_image, read_table

if TYPE_CHECKING:
    import pyarrow

_IMAGE_NAMES = ("image", "img", "picture")
_CAPTION_NAMES = ("text", "caption", "prompt", "description", "en_text")
_METADATA = ("metadata.jsonl", "metadata.csv")
_SPLITS = ("train", "validation", "valid", "val", "dev", "test")
_UNSAID = "train"
"""The split of a data set that names none, as on the hub."""
_BATCH = 64
READ_SUFFIXES = (".parquet", *sorted(SUFFIXES), ".jsonl", ".csv", ".txt")


@dataclass(frozen=True)
class ImageRow:
    """One image as its file's bytes, its caption ("" without one), and where it stands."""

    label: str
    content: bytes
    caption: str
    fault: str = ""
    """Why it is left out, where that is known without opening it."""


@dataclass(frozen=True)
class Columns:
    """Which columns are read, as asked for: None is found by type and name, "" is none."""

    image: str | None = None
    caption: str | None = None


def read_rows(folder: Path, split: str, columns: Columns) -> Iterator[ImageRow]:
    """Read rows in the order of files and tables. Raise UserError when the folder has no known layout, or no such split."""
    tables = in_split(sorted(path for path in folder.rglob("*.parquet") if path.is_file()), folder, split)
    if tables:
        return (row for table in tables for row in _table_rows(table, table.relative_to(folder).as_posix(), columns))
    listed = [path for name in _METADATA for path in sorted(folder.rglob(name))]
    if listed:
        return _listed_rows(folder, listed, split, columns)
    images = in_split(sorted(path for path in folder.rglob("*") if is_image(path)), folder, split)
    if not images:
        raise UserError(
            f"{folder} holds neither parquet tables nor images; unpack its archives, and name the folder instead of the id"
        )
    return (ImageRow(path.name, path.read_bytes(), _text_beside(path)) for path in images)


def in_split(paths: Sequence[Path], folder: Path, split: str) -> list[Path]:
    """Return those of `paths` whose name or folder says `split`; all of them are the split train when none says any.

    Raise UserError for another split than there is.
    """
    said = {path: _split_of(path.relative_to(folder).as_posix(), (split, *_SPLITS)) for path in paths}
    known = sorted({name for name in said.values() if name}) or [_UNSAID]
    if paths and split not in known:
        raise UserError(f"{folder} has no split {split!r}; it has {', '.join(known)}: name one with --split")
    return [path for path in paths if said[path] == split] if any(said.values()) else list(paths)


def _split_of(path: str, names: Iterable[str]) -> str | None:
    return next((name for name in names if re.search(rf"(?:^|[/_.-]){re.escape(name)}(?:[/_.-]|$)", path)), None)


def _table_rows(path: Path, label: str, columns: Columns) -> Iterator[ImageRow]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError("tables of the hub need pyarrow: pip install pyarrow==26.0.1, then run again") from error
    try:
        table = pyarrow.parquet.ParquetFile(path)
        image, caption = _columns_of(table.schema_arrow, label, columns)
        wanted, number = [image, *([caption] if caption else [])], 0
        for batch in table.iter_batches(batch_size=_BATCH, columns=wanted):
            for row in batch.to_pylist():
                yield ImageRow(f"{label}, row {number}", _image_bytes(row[image]), _first_text(row[caption] if caption else ""))
                number += 1
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read as a parquet table; fetch it again") from error


def _columns_of(schema: pyarrow.Schema, label: str, columns: Columns) -> tuple[str, str]:
    """Return the column of the images and that of the captions, "" for none."""
    holding = [field.name for field in schema if _may_hold_images(field.type)]
    image = columns.image or _pick(holding, _IMAGE_NAMES) or (holding[0] if len(holding) == 1 else None)
    if image is None or image not in holding:
        raise UserError(f"{label} has no column of images {image or ''} among {', '.join(schema.names)}; name it with --image")
    return image, _caption_column(schema.names, label, columns)


def _caption_column(names: Collection[str], where: object, columns: Columns) -> str:
    caption = _pick(names, _CAPTION_NAMES) if columns.caption is None else columns.caption
    if caption is None or (caption and caption not in names):
        what = f"no column {caption}" if caption else "no column that is known to hold captions"
        raise UserError(f"{where} has {what} among {', '.join(names)}; name one with --caption, or '' for none")
    return caption


def _may_hold_images(kind: pyarrow.DataType) -> bool:
    """Tell whether a column is of bytes, or of the hub's images: {bytes, path}."""
    from pyarrow import types

    binary = types.is_binary(kind) or types.is_large_binary(kind)
    return binary or (types.is_struct(kind) and any(kind.field(i).name == "bytes" for i in range(kind.num_fields)))


def _pick(names: Iterable[str], known: Iterable[str]) -> str | None:
    present = {name.lower(): name for name in names}
    return next((present[name] for name in known if name in present), None)


def _image_bytes(value: Any) -> bytes:
    """Return b"" where the table has no image, or only the path of one on another machine."""
    content = value.get("bytes") if isinstance(value, Mapping) else value
    return content or b""


def _first_text(value: Any) -> str:
    """Return a caption, or the first of several."""
    first = (value[0] if value else "") if isinstance(value, list) else value
    return str(first or "")


def _listed_rows(folder: Path, tables: Iterable[Path], split: str, columns: Columns) -> Iterator[ImageRow]:
    """Rows of the split in metadata.jsonl and metadata.csv, then the images that no row of theirs names.

    Raise UserError for a table of another form, or without the split.
    """
    listed = [pair for path in tables for pair in _metadata(path, columns)]
    places = set(in_split(list(dict.fromkeys(image.parent for image, _ in listed)), folder, split))
    for image, row in listed:
        if image.parent in places:
            yield ImageRow(row.label, image.read_bytes() if image.is_file() else b"", row.caption)
    named = {image for image, _ in listed}
    for path in sorted(folder.rglob("*")):
        label = path.relative_to(folder)
        if is_image(path) and path not in named and _split_of(label.parent.as_posix(), _SPLITS) in (split, None):
            yield ImageRow(label.as_posix(), b"", "", "has no row in the metadata")


def _metadata(path: Path, columns: Columns) -> Iterator[tuple[Path, ImageRow]]:
    """Read each image that a table names by file_name, relative to it, and its row without the image's bytes."""
    for number, row in enumerate(_json_rows(path) if path.suffix == ".jsonl" else read_table(path)):
        name = str(row.get("file_name", ""))
        if not is_inner_path(name):
            raise UserError(f"{path}, row {number} must have file_name, a path below its folder, got {name!r}")
        column = _caption_column(row.keys(), path, columns)
        yield path.parent / name, ImageRow(name, b"", _first_text(row[column]) if column else "")


def _json_rows(path: Path) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in read_text(path).split("\n") if line.strip()]
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON lines ({error}); fetch it again") from error
    if not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} must hold an object a line; fetch it again")
    return rows


def _text_beside(path: Path) -> str:
    text = path.with_suffix(".txt")
    return text.read_text(encoding="utf-8-sig", errors="replace") if text.is_file() else ""
