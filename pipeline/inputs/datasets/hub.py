"""A data set of the Hugging Face hub, or a folder in one of its layouts -> images, captions and where they are from."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pipeline.core.errors import UserError
from pipeline.core.files import atomic_folder, sha256_file, write_bytes, write_text
from pipeline.core.json_files import write_json
from pipeline.inputs import hub
from pipeline.inputs.datasets.folder_contents import is_litter, kind_of, litter_notice, scan
from pipeline.inputs.datasets.image_folder import Picture, read_image_folder
from pipeline.inputs.datasets.images import BrokenImage, open_image
from pipeline.inputs.datasets.items import Problem, listed, require_no_problems
from pipeline.inputs.datasets.tables import READ_SUFFIXES, Columns, ImageRow, image_tables, in_split, read_rows

SOURCE = "source.json"
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp", b"BM": ".bmp"}


@dataclass(frozen=True)
class LocalDataset:
    """A data set on this machine; `commit` and `source` are None for a folder of the user's own."""

    folder: Path
    source: str | None = None
    commit: str | None = None


class Fetched(NamedTuple):
    """How many images were written, what is wrong with single rows or files, and what was left out on purpose."""

    images: int
    problems: list[Problem]
    notices: list[str]


def fetch(
    source: str,
    out: Path,
    revision: str | None = None,
    split: str = "train",
    image: str | None = None,
    caption: str | None = None,
    strict: bool = False,
    endpoint: str | None = None,
) -> Fetched:
    """Write the images of `source` (OWNER/NAME of the hub, or a folder) with .txt captions and source.json into `out`.

    Rows and files without an image are left out. Raise UserError when `out` holds something, nothing can be had, and with
    `strict` for any problem; then `out` is not written.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UserError(f"{out} is not empty; name another folder with --out, or remove it first")
    columns = Columns(image, caption)
    raw = LocalDataset(Path(source)) if Path(source).is_dir() else download(source, revision, split, endpoint)
    found = _rows(raw.folder, split, columns)
    with atomic_folder(out) as folder:
        count, problems = write_images(found.rows, folder, with_captions=caption != "")
        problems = [*found.problems, *problems]
        if strict:
            require_no_problems(problems, raw.folder)
        if not count:
            raise UserError(f"{source} has no usable image in its split {split}: {listed(problems, 5) or 'it is empty'}")
        write_json(folder / SOURCE, _record(raw, split, columns))
    return Fetched(count, problems, found.notices)


@dataclass(frozen=True)
class _Rows:
    """The images of a data set, one after another, and what is to be told of the rest."""

    rows: Iterable[ImageRow]
    problems: list[Problem]
    notices: list[str]


def _rows(folder: Path, split: str, columns: Columns) -> _Rows:
    """List the images of a split, of tables or, where there are none that hold images, of the folder.

    Raise UserError when there is none, or no such split.
    """
    contents = scan(folder)
    tables = image_tables(contents)
    if not tables:
        listing = read_image_folder(folder, split, columns.caption)
        if listing.unusable_tables:
            raise UserError(f"{folder} has a table that cannot be read: {listed(listing.unusable_tables, 5)}")
        if not contents.images:
            why = f": {listed(listing.problems, 5)}" if listing.problems else ""
            advice = "unpack its archives, and name the folder instead of the id"
            raise UserError(f"{folder} holds neither parquet tables nor images; {advice}{why}")
        return _Rows(map(_row_of, listing.pictures), listing.problems, listing.notices)
    chosen = in_split(tables, folder, split)
    notices = litter_notice(contents.litter)
    if others := [contents.label(path) for path in tables if path not in chosen]:
        notices.append(f"{len(others)} table(s) of other splits left out: {listed(others, 4)}")
    beside = [
        Problem(contents.label(path), "lies beside tables that hold the images; move it away") for path in contents.images
    ]
    return _Rows(read_rows(chosen, folder, columns), beside, notices)


def _row_of(picture: Picture) -> ImageRow:
    caption = picture.caption()
    problem = picture.problem(caption)
    try:
        content = picture.path.read_bytes()
    except OSError as error:
        problem, content = Problem(picture.label, f"cannot be read: {error.strerror}"), b""
    return ImageRow(
        picture.label, content, "" if caption.fault else caption.text, problem, bool(problem and picture.is_unlisted)
    )


def download(source: str, revision: str | None, split: str, endpoint: str | None = None) -> LocalDataset:
    """Download the files of one commit that can be read, from the hub or its cache. Raise UserError when they cannot be had."""
    from huggingface_hub import HfApi

    address = endpoint or hub.endpoint()
    with hub.hub_errors(source, revision, "data set", address):
        api = HfApi(endpoint=address)
        info = api.dataset_info(source, revision=revision)
        names = [sibling.rfilename for sibling in info.siblings or []]
        tables = [Path(name) for name in names if name.lower().endswith(".parquet") and kind_of(Path(name)) == "other"]
        tables = in_split(tables, Path(), split)
        wanted = [glob.escape(table.as_posix()) for table in tables] or [_any_case(suffix) for suffix in READ_SUFFIXES]
        folder = api.snapshot_download(source, repo_type="dataset", revision=info.sha, allow_patterns=wanted)
        return LocalDataset(Path(folder), source, info.sha)


def _any_case(suffix: str) -> str:
    """Return the pattern of file names that end so, whatever the case of the letters."""
    return "*" + "".join(f"[{letter}{letter.upper()}]" if letter.isalpha() else letter for letter in suffix)


def write_images(rows: Iterable[ImageRow], folder: Path, with_captions: bool = True) -> tuple[int, list[Problem]]:
    """Write 00000.png, 00000.txt, ... with the files' own bytes; return how many images, and what is wrong with rows."""
    problems: list[Problem] = []
    count = 0
    for row in rows:
        if row.is_left_out and with_captions and row.problem:
            problems.append(row.problem)
            continue
        path = folder / f"{count:05d}{_suffix(row.content)}"
        write_bytes(path, row.content)
        try:
            open_image(path)
        except BrokenImage as reason:
            path.unlink()
            problems.append(Problem(row.label, str(reason) if row.content else "has no image"))
            continue
        count += 1
        if not with_captions:
            continue
        if row.caption:
            write_text(path.with_suffix(".txt"), row.caption + "\n")
        if row.problem:
            problems.append(row.problem)
    return count, problems


def _suffix(content: bytes) -> str:
    """Guess by the first bytes, because tables have no file names; .png for what is none of them, and will not open."""
    return next((suffix for start, suffix in _SUFFIXES.items() if content.startswith(start)), ".png")


def _record(raw: LocalDataset, split: str, columns: Columns) -> dict[str, object]:
    """Record where the images are from: id, commit, split, columns, and the hash of every file that was read or could be."""
    below = (path for path in raw.folder.rglob("*") if path.is_file() and not is_litter(path))
    files = sorted(path for path in below if path.suffix.lower() in READ_SUFFIXES)
    hashes = {_as_text(path.relative_to(raw.folder)): sha256_file(path) for path in files}
    return {"id": raw.source, "commit": raw.commit, "split": split, "image": columns.image, "caption": columns.caption,
            "files": hashes}  # fmt: skip


def _as_text(path: Path) -> str:
    """Return a path as JSON can hold it; names of files need not be UTF-8."""
    return path.as_posix().encode("utf-8", "backslashreplace").decode()
