"""Captions in tables: imagefolder's metadata.jsonl, .csv, .parquet, sd-scripts' meta_cap.json, lists and mappings in JSON."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.files import decode_text
from pipeline.core.guards import is_inner_path
from pipeline.inputs.datasets.csv_tables import read_table
from pipeline.inputs.datasets.folder_contents import FolderContents, same_name
from pipeline.inputs.datasets.items import Problem

CAPTION_COLUMNS = ("text", "caption", "prompt", "description", "en_text", "tags")
"""The first of these that a table has is read, whatever their case."""

_FILE_COLUMNS = ("file_name", "image_file_name", "filename", "image_path", "image_file", "file", "image", "img", "path")
_SPLIT_COLUMN = "split"
_WINDOWS_PATH = re.compile(r"[A-Za-z]:\\|\\\\|[^/]*\\")


class UnusableTable(Exception):
    """Why a table gives no captions, as the end of a sentence that starts with its name."""


@dataclass(frozen=True)
class TableRow:
    """What a table says of one image: the caption is None where it has no column of captions."""

    label: str
    file: str
    caption: str | None
    split: str | None = None


@dataclass
class TableCaptions:
    """What the tables of a folder say of its images, and what is wrong with them."""

    texts: dict[Path, dict[str, Path]] = field(default_factory=lambda: defaultdict(dict))
    """{image: {caption: the table that says so}}."""
    spare: dict[Path, dict[str, Path]] = field(default_factory=lambda: defaultdict(dict))
    """The same of sd-scripts' tables, which are made of caption files, and count where there are none."""
    named: set[Path] = field(default_factory=set)
    splits: dict[Path, str] = field(default_factory=dict)
    read: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    """Of single rows."""
    unusable: list[Problem] = field(default_factory=list)
    """Of whole tables."""


def read_tables(contents: FolderContents, column: str | None = None) -> TableCaptions:
    """Read every table of captions below a folder; `column` names that of the captions, "" for none.

    Raise UserError when the packages to read one are not there. What is wrong with a table, or with a row, is a problem.
    """
    found, images = TableCaptions(), _Images(contents)
    for table in contents.tables:
        label = contents.label(table)
        try:
            rows = list(rows_of(table, label, column))
        except UnusableTable as reason:
            found.unusable.append(Problem(label, str(reason)))
            continue
        found.read.append(table)
        texts = found.spare if _is_sd_scripts(table) else found.texts
        for row in rows:
            try:
                image = images.find(table, row.file)
            except UnusableTable as reason:
                found.problems.append(Problem(row.label, str(reason)))
                continue
            found.named.add(image)
            if row.caption is not None and row.caption.strip():
                texts[image].setdefault(" ".join(row.caption.split()), table)
            if row.split:
                found.splits[image] = row.split
    return found


def rows_of(table: Path, label: str, column: str | None = None) -> Iterator[TableRow]:
    """Read the rows of a table. Raise UnusableTable when it is damaged, or has no column of files or of captions."""
    rows = _READERS[table.suffix.lower()](table)
    columns = list(dict.fromkeys(str(name) for row in rows for name in row))
    if not rows:
        raise UnusableTable("has no rows; remove it, or write one for each image")
    if pick(columns, _FILE_COLUMNS) is None:
        raise UnusableTable(
            f"has no column file_name among {_listed(columns)}; add it, with each image's path below its folder"
        )
    if column is None and pick(columns, CAPTION_COLUMNS) is None:
        raise UnusableTable(f"has no column of captions ({_listed(CAPTION_COLUMNS[:3])}) among {_listed(columns)}; rename one")
    if column and column not in columns:
        raise UnusableTable(f"has no column {column} among {_listed(columns)}; name one with --caption, or '' for none")
    for number, row in enumerate(rows, 1):
        file, part = (row.get(pick(row, names) or "") for names in (_FILE_COLUMNS, (_SPLIT_COLUMN,)))
        caption = None if column == "" else _caption(row, column)
        yield TableRow(f"{label}, row {number}", str(file or ""), caption, first_text(part).strip() or None)


def first_text(value: Any) -> str:
    """Return a caption, or the first of several."""
    first = (value[0] if value else "") if isinstance(value, list) else value
    return str(first) if isinstance(first, str | int | float) and first == first else ""


def pick(names: Iterable[str], known: Iterable[str]) -> str | None:
    """Return that of `names` which comes first among `known`, whatever its case."""
    present = {str(name).strip().lower(): name for name in names}
    return next((present[name] for name in known if name in present), None)


def _caption(row: Mapping[str, Any], column: str | None) -> str:
    """Return a row's caption; of sd-scripts' two, the caption and then the tags, as its trainer joins them."""
    if column:
        return first_text(row.get(column))
    texts = {name: first_text(row[key]) for name in CAPTION_COLUMNS if (key := pick(row, (name,))) is not None}
    if texts.get("caption") and texts.get("tags") and not texts.get("text"):
        return f"{texts['caption']}, {texts['tags']}"
    return next((text for text in texts.values() if text.strip()), "")


def _is_sd_scripts(table: Path) -> bool:
    return table.name.lower().startswith("meta_")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


class _Images:
    """The images of a folder, as tables name them."""

    def __init__(self, contents: FolderContents) -> None:
        self._root = contents.root
        self._by_path = {same_name(contents.label(path)): path for path in contents.images}
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for label, path in self._by_path.items():
            self._by_stem[PurePosixPath(label).with_suffix("").as_posix()].append(path)
            for name in {PurePosixPath(label).name, PurePosixPath(label).stem}:
                self._by_name[name].append(path)

    def find(self, table: Path, file: str) -> Path:
        """Return the image that a row of `table` means. Raise UnusableTable when there is none, or it lies elsewhere.

        sd-scripts writes whole paths of the machine that it ran on, or names without a suffix: a name that only one image
        has is enough there.
        """
        name = same_name(file.replace("\\", "/") if _WINDOWS_PATH.match(file) else file)
        is_inner = is_inner_path(name)
        if not is_inner and not (name and _is_sd_scripts(table)):
            raise UnusableTable(f"must have file_name, a path below its folder, got {file!r}")
        if is_inner:
            place = table.parent.relative_to(self._root)
            label = (PurePosixPath(place.as_posix()) / name).as_posix()
            if image := self._by_path.get(same_name(label)):
                return image
        if _is_sd_scripts(table) or table.suffix.lower() == ".json":
            label = label if is_inner else ""
            for found in (self._by_stem.get(same_name(label), []), self._by_name.get(PurePosixPath(name).name, [])):
                if len(found) == 1:
                    return found[0]
        raise UnusableTable(f"names {file!r}, which is no image there; remove the row, or bring the image")


def _json_lines(path: Path) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in _text(path).split("\n") if line.strip()]
    except (ValueError, RecursionError) as error:
        raise UnusableTable(f"is not JSON lines ({error}); write one object a line") from error
    return _objects(rows)


def _json(path: Path) -> list[dict[str, Any]]:
    """Read a list of objects, or a mapping {image: caption} or {image: {caption, tags}}, as sd-scripts writes it."""
    try:
        value = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise UnusableTable(f"is not JSON ({error}); write a list of objects with file_name and text") from error
    if isinstance(value, dict):
        value = [{"caption": said} | {"file_name": key} if isinstance(said, str) else
                 {**said, "file_name": key} if isinstance(said, dict) else None for key, said in value.items()]  # fmt: skip
    return _objects(value)


def _objects(rows: Any) -> list[dict[str, Any]]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UnusableTable("must hold objects with file_name and text")
    return rows


def _separated(path: Path) -> list[dict[str, Any]]:
    try:
        return list(read_table(path))
    except UserError as error:
        raise UnusableTable(str(error).removeprefix(f"{path} ")) from error


def _parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path)
        names = [name for name in table.schema_arrow.names if name.lower() in (*_FILE_COLUMNS, *CAPTION_COLUMNS, _SPLIT_COLUMN)]
        return [dict(row) for row in table.read(columns=names or None).to_pylist()]
    except (pyarrow.ArrowException, OSError) as error:
        raise UnusableTable("cannot be read as a parquet table; fetch it again") from error


def _text(path: Path) -> str:
    try:
        return decode_text(path.read_bytes())
    except UnicodeDecodeError as error:
        raise UnusableTable("is not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise UnusableTable(f"cannot be read: {error.strerror}") from error


_READERS = {".jsonl": _json_lines, ".json": _json, ".csv": _separated, ".tsv": _separated, ".parquet": _parquet}
