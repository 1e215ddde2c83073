"""What lies in a folder of images: the one answer to what is an image, a caption, a table, litter, or a person's mistake."""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.core.errors import printable
from pipeline.core.files import IN_CACHE
from pipeline.inputs.datasets.images import SUFFIXES
from pipeline.inputs.datasets.items import Problem

CAPTION_SUFFIXES = frozenset({".txt", ".caption"})
"""A caption beside an image has its name and one of these; .caption is sd-scripts' own."""

Kind = Literal["image", "caption", "table", "companion", "litter", "other"]

_TABLE = re.compile(r"metadata\.(jsonl|json|csv|tsv|parquet)$|meta_\w+\.json$", re.IGNORECASE)
"""Hugging Face's imagefolder, and sd-scripts' meta_cap.json, meta_clean.json, ..."""

_UNREAD_TABLE = re.compile(
    r"(.*\.(csv|tsv|jsonl|json|parquet|xlsx?|ods)|(meta|captions?|prompts?)([-_.].*|data.*)?)$", re.IGNORECASE
)

_CAPTION_LIST = re.compile(r"(meta_?data|meta|captions?|prompts?|tags|labels)([-_.].*)?\.(txt|caption)$", re.IGNORECASE)
"""metadata.jsonl.txt, captions.txt: where no image has such a name."""
TABLE_ADVICE = "captions are .txt or .caption files, or metadata.csv or .jsonl with the columns file_name and text"

_OTHER_IMAGE = frozenset(
    {".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".dib", ".psd", ".svg", ".tga", ".ico"}
)

_COMPANION = re.compile(
    r"(readme|licen[cs]e|notice|citation)(\.\w+)?|parts\.jsonl|source\.json|\.git(ignore|attributes|keep)|\.dvcignore"
    r"|.+\.dvc|dataset_infos?\.json|dataset_dict\.json|state\.json|croissant\.json",
    re.IGNORECASE,
)
"""What explains a set, or was written beside it by this project."""

_LITTER_FILE = re.compile(
    # macOS, Windows, WSL
    r"\._.*|\.ds_store|\.localized|icon\r|\.volumeicon\.icns|thumbs\.db(:encryptable)?|ehthumbs(_vista)?\.db|desktop\.ini"
    r"|.*[:\uf03a]?zone\.identifier(:\$data)?|.*[:\uf03a]com\.dropbox\.\w+|~\$.*"
    # Linux desktops, editors, viewers
    r"|\.directory|\.nomedia|\.fuse_hidden.*|\.nfs.*|\.~lock\..*#|.*~|.*\.sw[op]|\.?picasa\.ini|zbthumbnail\.info|synofile_thumb.*"
    # what cameras, telephones and developing programs write beside an image
    r"|.*\.(aae|xmp|pp3|dop|thm)|.*\.\w+_original"
    # sd-scripts' caches of latents, text encoder outputs and image sizes
    r"|.*\.npz|metadata_cache\.json",
    re.IGNORECASE | re.DOTALL,
)
_LITTER_FOLDER = re.compile(
    r"\..*|__macosx|__pycache__|@eadir|@recycle|@__thumb|#recycle|#snapshot"
    r"|\$recycle\.bin|system volume information|lost\+found|found\.\d{3}|network trash folder|temporary items",
    re.IGNORECASE | re.DOTALL,
)
"""Every hidden folder, among them .ipynb_checkpoints, .git, .cache and .thumbnails; and what servers and systems keep."""

_IN_HUB_CACHE = re.compile(r"/(?:datasets|models)--[^/]+/blobs/[0-9a-f]+$")
"""Where the links of a snapshot in the hub's own cache lead."""

_WITH_ARTICLE = {"image": "an image", "caption": "a caption", "table": "a table"}
_NAMED = 4
"""So many kinds of litter are named."""


@dataclass
class FolderContents:
    """All files below a folder by what they are, in order of path; links to folders are not followed."""

    root: Path
    images: list[Path] = field(default_factory=list)
    captions: list[Path] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)
    unread_tables: list[Path] = field(default_factory=list)
    """Files that look like tables of captions, under names that are not read; each is a problem, too."""
    refused: list[Path] = field(default_factory=list)
    """Captions that a problem is about."""
    litter: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def folders(self, path: Path) -> tuple[str, ...]:
        """Return the names of the folders that a file lies in, from the top."""
        return path.parent.relative_to(self.root).parts

    def label(self, path: Path) -> str:
        """Return how messages name a file: by its path below the folder."""
        return path.relative_to(self.root).as_posix()


def scan(root: Path) -> FolderContents:
    """List all that lies below `root`. Raise no error: what cannot be read is a problem."""
    found, waiting = FolderContents(root), [root]
    while waiting:
        # Last in, first out, and no recursion: folders may nest deeper than calls.
        waiting += reversed(_scan(waiting.pop(), found))
    return found


def kind_of(path: Path) -> Kind:
    """Return what a file, or anything else, is by its name alone."""
    name = path.name
    if is_litter(path):
        return "litter"
    if _TABLE.fullmatch(name):
        return "table"
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return "image"
    if suffix in CAPTION_SUFFIXES:
        return "caption"
    return "companion" if is_companion(path) else "other"


def is_companion(path: Path) -> bool:
    """Tell whether a file's name says that it explains a set, or was written beside one by this project."""
    return _COMPANION.fullmatch(path.name) is not None


def is_litter(path: Path) -> bool:
    """Tell whether a system or a program, and no person, has left a file or folder of this name."""
    if path.is_dir() and not path.is_symlink():
        return _LITTER_FOLDER.fullmatch(path.name) is not None
    return _LITTER_FILE.fullmatch(path.name) is not None or _is_hidden(path)


def _is_hidden(path: Path) -> bool:
    """Tell whether a file is hidden and nothing of a set: .a.png is an image, and .png a mistake in its name."""
    suffix = (path.suffix or path.name).lower()
    known = suffix in SUFFIXES or suffix in CAPTION_SUFFIXES or is_companion(path)
    return path.name.startswith(".") and not known and suffix != ".icloud"


def is_list_of_captions(path: Path) -> bool:
    """Tell whether a file that has a caption's suffix and no image is named as a table or a list of captions."""
    return _CAPTION_LIST.fullmatch(path.name) is not None


def litter_notice(litter: list[str]) -> list[str]:
    """Return one line that counts files which nobody made on purpose; none where there are none."""
    if not litter:
        return []
    kinds = list(dict.fromkeys(_kind_of_litter(label) for label in litter))
    shown = ", ".join(map(printable, kinds[:_NAMED])) + (", ..." if len(kinds) > _NAMED else "")
    return [f"{len(litter)} file(s) or folder(s) that systems and programs leave behind ignored: {shown}"]


def _kind_of_litter(label: str) -> str:
    name = label.rpartition("/")[2]
    suffix = Path(name).suffix
    return "._*" if name.startswith("._") else f"*{suffix}" if suffix.lower() in (".npz", ".identifier", ".swp") else name


def same_name(name: str) -> str:
    """Return a name as it compares: file systems spell one letter as one character or as two (Unicode's NFC and NFD)."""
    return unicodedata.normalize("NFC", name)


def _scan(folder: Path, found: FolderContents) -> list[Path]:
    """Sort what lies in one folder into `found`; return the folders in it."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        found.problems.append(Problem(found.label(folder), f"cannot be read: {error.strerror}"))
        return []
    below = []
    for path in entries:
        if is_litter(path):
            found.litter.append(found.label(path))
        elif path.is_dir() and not path.is_symlink():
            below.append(path)
            if (kind := kind_of(path)) in _WITH_ARTICLE:
                found.problems.append(Problem(found.label(path), f"is a folder, though it is named as {_WITH_ARTICLE[kind]}"))
                found.refused.append(path)
        elif reason := _fault(path, found.root):
            found.problems.append(Problem(found.label(path), reason))
            if kind_of(path) == "caption":
                found.refused.append(path)
        else:
            _sort_in(path, found)
    return below


def _sort_in(path: Path, found: FolderContents) -> None:
    kind = kind_of(path)
    if kind == "other":
        if _UNREAD_TABLE.fullmatch(path.name):
            found.unread_tables.append(path)
        found.problems.append(Problem(found.label(path), _why_not_read(path)))
    elif kind in ("image", "caption", "table"):
        {"image": found.images, "caption": found.captions, "table": found.tables}[kind].append(path)


def _why_not_read(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix == ".icloud":
        return "stands for a file that is in iCloud and not here; download it"
    if suffix == ".parquet":
        return "is a table; 'redifine dataset fetch FOLDER' writes its images as files"
    if _UNREAD_TABLE.fullmatch(path.name):
        return f"is not read; {TABLE_ADVICE}"
    if suffix in _OTHER_IMAGE:
        return f"is an image in a format that is not read ({suffix[1:]}); convert it to PNG"
    if suffix in (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"):
        return "is an archive; unpack it, or move it away"
    return f"is neither an image ({', '.join(sorted(SUFFIXES))}) nor a .txt or .caption file; move it away"


def _fault(path: Path, root: Path) -> str | None:
    """Return why a file, link, pipe or folder with an image's name is not read; None when it is."""
    if any("\ud800" <= character <= "\udfff" for character in path.name):
        return "has a name that is not UTF-8; rename it"
    if path.is_symlink() and not path.exists():
        return "is a link that leads nowhere"
    if path.is_symlink() and path.is_dir():
        return "is a link to a folder; put the folder itself there"
    if leads_out(path, root):
        return f"is a link out of {root}; put the file itself there"
    return None if path.is_file() else f"is no plain file, though it is named as {_WITH_ARTICLE.get(kind_of(path), 'one')}"


def leads_out(path: Path, root: Path) -> bool:
    """Tell whether a link shows a file from elsewhere, other than DVC's and the hub's links into their caches."""
    if not path.is_symlink():
        return False
    target = os.path.realpath(path)
    inside = Path(target).is_relative_to(os.path.realpath(root))
    return not inside and not any(cache.search(Path(target).as_posix()) for cache in (IN_CACHE, _IN_HUB_CACHE))
