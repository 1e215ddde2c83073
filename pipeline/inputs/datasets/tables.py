"""Tables of a data set that hold the images themselves, as the hub keeps them: parquet -> rows of image and caption."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import UserError
from pipeline.inputs.datasets.caption_files import caption_of_text
from pipeline.inputs.datasets.caption_tables import CAPTION_COLUMNS, first_text, pick
from pipeline.inputs.datasets.folder_contents import CAPTION_SUFFIXES, FolderContents
from pipeline.inputs.datasets.images import SUFFIXES
from pipeline.inputs.datasets.items import Problem
from pipeline.inputs.datasets.splits import UNSAID

if TYPE_CHECKING:
    import pyarrow

_IMAGE_NAMES = ("image", "img", "picture")
_SPLITS = ("train", "validation", "valid", "val", "dev", "test")
_BATCH = 64
READ_SUFFIXES = (".parquet", *sorted(SUFFIXES), ".jsonl", ".csv", ".tsv", ".json", *sorted(CAPTION_SUFFIXES))


@dataclass(frozen=True)
class ImageRow:
    """One image as its file's bytes, its caption ("" without one), and where it stands."""

    label: str
    content: bytes
    caption: str
    problem: Problem | None = None
    """What is wrong with the caption, or why there is none."""
    is_left_out: bool = False
    """Whether that, where captions are asked for, leaves the image out."""


@dataclass(frozen=True)
class Columns:
    """Which columns are read, as asked for: None is found by type and name, "" is none."""

    image: str | None = None
    caption: str | None = None


def image_tables(contents: FolderContents) -> list[Path]:
    """Return the parquet tables below a folder that hold images themselves; metadata.parquet names files."""
    return [path for path in contents.unread_tables if path.suffix.lower() == ".parquet"]


def read_rows(tables: Iterable[Path], folder: Path, columns: Columns) -> Iterator[ImageRow]:
    """Read the rows of tables, in order. Raise UserError for a damaged one, or one without such columns."""
    for table in tables:
        yield from _table_rows(table, table.relative_to(folder).as_posix(), columns)


def in_split(paths: Sequence[Path], folder: Path, split: str) -> list[Path]:
    """Return those tables whose name or folder says `split`, as the hub names them; all are train when none says any.

    Raise UserError for another split than there is.
    """
    said = {path: _split_of(path.relative_to(folder).as_posix(), (split, *_SPLITS)) for path in paths}
    known = sorted({name for name in said.values() if name}) or [UNSAID]
    if paths and split not in known:
        raise UserError(f"{folder} has no split {split!r}; it has {', '.join(known)}: name one with --split")
    return [path for path in paths if said[path] == split] if any(said.values()) else list(paths)


def _split_of(path: str, names: Iterable[str]) -> str | None:
    return next((name for name in names if re.search(rf"(?:^|[/_.-]){re.escape(name)}(?:[/_.-]|$)", path)), None)


def _table_rows(path: Path, label: str, columns: Columns) -> Iterator[ImageRow]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path)
        image, caption = _columns_of(table.schema_arrow, label, columns)
        wanted, number = [image, *([caption] if caption else [])], 1
        for batch in table.iter_batches(batch_size=_BATCH, columns=wanted):
            for row in batch.to_pylist():
                yield _row(f"{label}, row {number}", row[image], first_text(row[caption] if caption else ""), path)
                number += 1
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read as a parquet table; fetch it again") from error


def _row(label: str, image: Any, text: str, table: Path) -> ImageRow:
    caption = caption_of_text(table, text)
    reason = f"has a caption that {caption.fault}" if caption.fault else "" if caption.text else "has no caption"
    return ImageRow(
        label, _image_bytes(image), "" if caption.fault else caption.text, Problem(label, reason) if reason else None
    )


def _columns_of(schema: pyarrow.Schema, label: str, columns: Columns) -> tuple[str, str]:
    """Return the column of the images and that of the captions, "" for none."""
    holding = [field.name for field in schema if _may_hold_images(field.type)]
    image = columns.image or pick(holding, _IMAGE_NAMES) or (holding[0] if len(holding) == 1 else None)
    if image is None or image not in holding:
        raise UserError(f"{label} has no column of images {image or ''} among {', '.join(schema.names)}; name it with --image")
    return image, _caption_column(schema.names, label, columns)


def _caption_column(names: Collection[str], where: object, columns: Columns) -> str:
    caption = pick(names, CAPTION_COLUMNS) if columns.caption is None else columns.caption
    if caption is None or (caption and caption not in names):
        what = f"no column {caption}" if caption else "no column that is known to hold captions"
        raise UserError(f"{where} has {what} among {', '.join(names)}; name one with --caption, or '' for none")
    return caption


def _may_hold_images(kind: pyarrow.DataType) -> bool:
    """Tell whether a column is of bytes, or of the hub's images: {bytes, path}."""
    from pyarrow import types

    binary = types.is_binary(kind) or types.is_large_binary(kind)
    return binary or (types.is_struct(kind) and any(kind.field(i).name == "bytes" for i in range(kind.num_fields)))


def _image_bytes(value: Any) -> bytes:
    """Return b"" where the table has no image, or only the path of one on another machine."""
    content = value.get("bytes") if isinstance(value, Mapping) else value
    return content or b""
