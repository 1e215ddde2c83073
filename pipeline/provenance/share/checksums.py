"""SHA256SUMS: every file of an export with its hash, in the form that `sha256sum --check` reads."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from pipeline.core.errors import UserError
from pipeline.core.files import sha256_bytes, sha256_file, write_text

FILE = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_MOST_FILES = 1_000_000


def write_checksums(folder: Path) -> str:
    """Write SHA256SUMS of all files below `folder`, by name; returns the sha256 of SHA256SUMS itself."""
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    text = "".join(f"{sha256_file(folder / name)}  {name}\n" for name in files)
    write_text(folder / FILE, text)
    return sha256_bytes(text.encode())


def parse_checksums(content: bytes, source: str) -> dict[str, str]:
    """Return hash of each file by name. Raise UserError for a line of another form, or a name that leads out of the folder."""
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{FILE} of {source} is not text; ask for it again") from error
    matches = [_LINE.fullmatch(line) for line in lines]
    if not lines or len(lines) > _MOST_FILES or not all(matches):
        raise UserError(f"{FILE} of {source} is damaged: each line must be a sha256, two spaces and a file name; get it again")
    hashes = {match[2]: match[1] for match in matches if match}
    for name in hashes:
        if not all(_PART.fullmatch(part) for part in name.split("/")) or PurePosixPath(name).as_posix() != name:
            raise UserError(f"{FILE} of {source} names {name!r}, which is no plain path inside the folder; do not use this set")
    return hashes
