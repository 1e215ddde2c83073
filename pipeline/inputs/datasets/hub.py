"""A data set of the Hugging Face hub, or a folder in one of its layouts -> images, captions and where they are from."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.core.errors import UserError
from pipeline.core.files import atomic_folder, sha256_file, write_bytes, write_text
from pipeline.core.guards import fault_of_text
from pipeline.core.json_files import write_json
from pipeline.inputs import hub
from pipeline.inputs.datasets.images import BrokenImage, open_image
from pipeline.inputs.datasets.items import Problem, listed, require_no_problems
from pipeline.inputs.datasets.tables import READ_SUFFIXES, Columns, ImageRow, in_split, read_rows

SOURCE = "source.json"
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp", b"BM": ".bmp"}


@dataclass(frozen=True)
class LocalDataset:
    """A data set on this machine; `commit` and `source` are None for a folder of the user's own."""

    folder: Path
    source: str | None = None
    commit: str | None = None


def fetch(
    source: str,
    out: Path,
    revision: str | None = None,
    split: str = "train",
    image: str | None = None,
    caption: str | None = None,
    strict: bool = False,
    endpoint: str | None = None,
) -> tuple[int, list[Problem]]:
    """Write the images of `source` (OWNER/NAME of the hub, or a folder) with .txt captions and source.json into `out`.

    Return the number of images, and what is wrong with single rows: those without image are left out. Raises
    UserError when `out` holds something, nothing can be had, and with `strict` for any problem; then `out` is not written.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UserError(f"{out} is not empty; name another folder with --out, or remove it first")
    columns = Columns(image, caption)
    raw = LocalDataset(Path(source)) if Path(source).is_dir() else download(source, revision, split, endpoint)
    rows = read_rows(raw.folder, split, columns)
    with atomic_folder(out) as folder:
        count, problems = write_images(rows, folder, with_captions=caption != "")
        if strict:
            require_no_problems(problems, raw.folder)
        if not count:
            raise UserError(f"{source} has no usable image in its split {split}: {listed(problems, 5) or 'it is empty'}")
        write_json(folder / SOURCE, _record(raw, split, columns))
    return count, problems


def download(source: str, revision: str | None, split: str, endpoint: str | None = None) -> LocalDataset:
    """Download the files of one commit that can be read, from the hub or its cache. Raise UserError when they cannot be had."""
    from huggingface_hub import HfApi

    address = endpoint or hub.endpoint()
    with hub.hub_errors(source, revision, "data set", address):
        api = HfApi(endpoint=address)
        info = api.dataset_info(source, revision=revision)
        names = [sibling.rfilename for sibling in info.siblings or []]
        tables = in_split([Path(name) for name in names if name.endswith(".parquet")], Path(), split)
        wanted = [glob.escape(table.as_posix()) for table in tables] or [f"*{suffix}" for suffix in READ_SUFFIXES]
        folder = api.snapshot_download(source, repo_type="dataset", revision=info.sha, allow_patterns=wanted)
        return LocalDataset(Path(folder), source, info.sha)


def write_images(rows: Iterable[ImageRow], folder: Path, with_captions: bool = True) -> tuple[int, list[Problem]]:
    """Write 00000.png, 00000.txt, ... with the files' own bytes; return how many images, and what is wrong with rows."""
    problems: list[Problem] = []
    count = 0
    for row in rows:
        if row.fault:
            problems.append(Problem(row.label, row.fault))
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
        text = " ".join(row.caption.split())
        fault = fault_of_text(text)
        if text and not fault:
            write_text(path.with_suffix(".txt"), text + "\n")
        elif with_captions:
            problems.append(Problem(row.label, f"has a caption that holds {fault}" if fault else "has no caption"))
    return count, problems


def _suffix(content: bytes) -> str:
    """Guess by the first bytes, because tables have no file names; .png for what is none of them, and will not open."""
    return next((suffix for start, suffix in _SUFFIXES.items() if content.startswith(start)), ".png")


def _record(raw: LocalDataset, split: str, columns: Columns) -> dict[str, object]:
    """Record where the images are from: id, commit, split, columns, and the hash of every file that was read or could be."""
    files = sorted(path for path in raw.folder.rglob("*") if path.is_file() and PurePosixPath(path).suffix in READ_SUFFIXES)
    hashes = {path.relative_to(raw.folder).as_posix(): sha256_file(path) for path in files}
    return {"id": raw.source, "commit": raw.commit, "split": split, "image": columns.image, "caption": columns.caption,
            "files": hashes}  # fmt: skip
