"""A folder of images as people keep it: flat, sd-scripts' 10_name folders, Hugging Face's imagefolder -> images and captions.

The one reading of it, for the chain, `dataset check`, `dataset fetch` and `redifine caption`. Every image below the folder is
in the result, in a problem or, where it was left out on purpose, in a notice that counts it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pipeline.core.errors import UserError, printable
from pipeline.inputs.datasets.caption_files import caption_of_text, read_caption
from pipeline.inputs.datasets.caption_tables import TableCaptions, read_tables
from pipeline.inputs.datasets.folder_contents import FolderContents, litter_notice, same_name, scan
from pipeline.inputs.datasets.items import CaptionFile, Problem

UNSAID = "train"
"""The split of a data set that names none, as on the hub."""

_SPLITS = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
_REPEATED = re.compile(r"([0-9]+)_(.*)", re.DOTALL)
"""sd-scripts' folders: repeats, name and class. What stands behind the first _ is the caption of an image without one."""

_REGULARISATION = re.compile(
    r"regs?|(?:reg|regulari[sz]ations?|class)[ _-]?(?:images?|imgs?|data|set)|regulari[sz]ations?", re.IGNORECASE
)
_NAMED = 4


@dataclass(frozen=True)
class Picture:
    """One image and what its owner says of it. The caption is read when it is asked for: a set may be large."""

    path: Path
    name: str
    """Its path below the folder without suffix, - for /."""
    label: str
    """Its path below the folder, for messages."""
    files: tuple[Path, ...] = ()
    """The captions beside it."""
    told: Mapping[str, Path] = field(default_factory=dict)
    """{caption: the table that says so}."""
    class_tokens: str = ""
    """What its folder's name says, for an image without caption."""
    is_unlisted: bool = False
    """Whether there is a table for the set, no row of which names it, and no caption elsewhere."""
    missing: str = ""
    """Where there is no caption: the end of a sentence that starts with the image's label."""

    def caption(self) -> CaptionFile:
        """Return the caption, or what is wrong with it; without one it is empty, and `path` the image's own."""
        found = [*map(read_caption, self.files), *(caption_of_text(path, text) for text, path in self.told.items())]
        if not found:
            return caption_of_text(self.path, self.class_tokens)
        if fault := next((one for one in found if one.fault), None):
            return fault
        texts = list(dict.fromkeys(one.text for one in found if one.text))
        if len(texts) > 1:
            names = " and ".join(dict.fromkeys(printable(one.path.name) for one in found))
            return CaptionFile(self.path, fault=f"has {len(texts)} captions that differ, in {names}; keep one")
        return next((one for one in found if one.text), found[0])

    def problem(self, caption: CaptionFile) -> Problem | None:
        """Return what keeps `caption` from being the picture's, named by its path below the folder; None when nothing does."""
        if caption.path in self.told.values() and caption.fault:
            return Problem(self.label, f"has a caption in {printable(caption.path.name)} that {caption.fault}")
        file = (PurePosixPath(self.label).parent / caption.path.name).as_posix()
        if caption.fault:
            return Problem(file, caption.fault)
        if caption.text:
            return None
        return Problem(file, "is empty: every image needs a caption") if self.files else Problem(self.label, self.missing)


@dataclass
class ImageFolder:
    """The pictures of a folder that count, in order of path, and what is to be told of the rest."""

    pictures: list[Picture] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    unusable_tables: list[Problem] = field(default_factory=list)
    """Those of the problems that cost many images their captions."""
    is_flat: bool = True
    """Whether all pictures lie in the folder itself, with captions beside them at most."""


def read_image_folder(root: Path, split: str = UNSAID, column: str | None = None, with_captions: bool = True) -> ImageFolder:
    """List the pictures of one split, with their captions (unless these come from elsewhere).

    `column` names the tables' column of captions, "" for none. Raise UserError when the folder has other splits alone.
    """
    contents = scan(root)
    tables = read_tables(contents, column) if with_captions else TableCaptions()
    problems = [*contents.problems, *tables.unusable, *tables.problems]
    found = ImageFolder([], problems, litter_notice(contents.litter), tables.unusable)
    images = _training_images(contents, found)
    images = _of_split(contents, images, split, tables.splits, found)
    _pair(contents, images, tables, found, with_captions)
    found.is_flat = not tables.read and all(picture.path.parent == root for picture in found.pictures)
    return found


def _training_images(contents: FolderContents, found: ImageFolder) -> list[Path]:
    """Return the images that sd-scripts would train on, where the folder is in its layout; else all but regularisation's."""
    folders = {path: _folders(contents, path) for path in contents.images}
    reg = {path for path, names in folders.items() if any(_REGULARISATION.fullmatch(name) for name in names)}
    if reg:
        found.notices.append(f"{len(reg)} regularisation image(s) left out: {_tops(contents, sorted(reg))}")
    rest = [path for path in contents.images if path not in reg]
    repeats = {path: _repeats(folders[path]) for path in rest}
    if not any(count is not None for count in repeats.values()):
        return rest
    never = [path for path, count in repeats.items() if count == 0]
    if never:
        found.notices.append(f"{len(never)} image(s) left out, whose folders say 0 repeats: {_tops(contents, never)}")
    said = sorted({count for count in repeats.values() if count})
    if said and said != [1]:
        listed = ", ".join(map(str, said))
        found.notices.append(
            f"repeats ({listed}) left out: each image counts once; 'epochs' or 'updates' in params.yaml says how often"
        )
    outside = [path for path, count in repeats.items() if count is None]
    reason = "lies in no folder named like 10_name, as the others do; move it into one, or out of here"
    found.problems += [Problem(contents.label(path), reason) for path in outside]
    return [path for path, count in repeats.items() if count]


def _folders(contents: FolderContents, path: Path) -> tuple[str, ...]:
    return path.parent.relative_to(contents.root).parts


def _repeats(folders: Sequence[str]) -> int | None:
    """Return the repeats that the innermost of such folders says; None outside of them."""
    return next((int(match[1][:9]) for name in reversed(folders) if (match := _REPEATED.fullmatch(name))), None)


def _class_tokens(folders: Sequence[str]) -> str:
    return next((match[2] for name in reversed(folders) if (match := _REPEATED.fullmatch(name))), "")


def _tops(contents: FolderContents, images: Sequence[Path]) -> str:
    """Name the folders that images lie in, shortened."""
    names = list(dict.fromkeys(contents.label(path.parent) for path in images))
    return ", ".join(map(printable, names[:_NAMED])) + (", ..." if len(names) > _NAMED else "")


def _of_split(
    contents: FolderContents, images: list[Path], split: str, in_tables: Mapping[Path, str], found: ImageFolder
) -> list[Path]:
    """Return the images whose folders, or tables, say `split`. A file's own name says nothing of its split.

    Where no folder says train, images outside of any split are it.
    """
    wanted = _SPLITS.get(split.lower(), split)
    said = {path: _split_of(_folders(contents, path), split, wanted) or _known(in_tables.get(path)) for path in images}
    if UNSAID not in said.values():
        said = {path: name or UNSAID for path, name in said.items()}
    others = Counter(name for name in said.values() if name and name != wanted)
    known = sorted({name for name in said.values() if name})
    if images and wanted not in known:
        raise UserError(
            f"{contents.root} has no split {split!r}; it has {', '.join(known)}: name one with --split, or its folder"
        )
    for name, count in sorted(others.items()):
        found.notices.append(f"{count} image(s) of the split {name} left out")
    outside = [path for path, name in said.items() if name is None]
    reason = f"is of no split, while others are in folders of splits ({', '.join(known)}); move it into one"
    found.problems += [Problem(contents.label(path), reason) for path in outside]
    return [path for path, name in said.items() if name == wanted]


def _split_of(folders: Sequence[str], asked: str, wanted: str) -> str | None:
    return next((name for folder in folders if (name := wanted if folder == asked else _SPLITS.get(folder.lower()))), None)


def _known(split: str | None) -> str | None:
    return None if not split else _SPLITS.get(split.lower(), split)


def _pair(
    contents: FolderContents, images: Sequence[Path], tables: TableCaptions, found: ImageFolder, with_captions: bool
) -> None:
    """Put captions to images. Two images that one caption would count for are a problem, and so is a caption without image."""
    beside: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in contents.captions:
        beside[path.parent, same_name(path.stem)].append(path)
    refused = {(path.parent, same_name(path.stem)) for path in contents.refused}
    same: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in images:
        same[path.parent, same_name(path.stem)].append(path)
    owned = {(path.parent, same_name(path.stem)) for path in contents.images}
    found.problems += [
        Problem(contents.label(path), "has no image beside it")
        for key, paths in beside.items() if key not in owned for path in paths if not _explains(path)
    ]  # fmt: skip
    names: Counter[str] = Counter()
    for key, paths in same.items():
        in_table = [path for path in paths if tables.texts.get(path)]
        if len(paths) > 1 and (len(in_table) < len(paths) or beside.get(key)):
            found.problems.append(Problem(contents.label(paths[0]), _one_pair(paths)))
        else:
            files = tuple(beside.get(key, ()))
            found.pictures += [_picture(contents, path, files, tables, names, key in refused) for path in paths]
    _tell_of_class_tokens(found.pictures, found)


def _explains(path: Path) -> bool:
    return path.stem.lower() in ("readme", "license", "licence", "notice", "citation")


def _one_pair(paths: Sequence[Path]) -> str:
    others = " and ".join(printable(path.name) for path in paths[1:])
    return f"has the name of {others}, and one caption would count for both; rename one"


def _picture(
    contents: FolderContents, path: Path, files: tuple[Path, ...], tables: TableCaptions, names: Counter[str], refused: bool
) -> Picture:
    label = contents.label(path)
    name = "-".join(Path(label).with_suffix("").parts)
    names[name] += 1
    if names[name] > 1:
        name = "-".join(Path(label).parts)
    told = tables.texts.get(path) or ({} if files else tables.spare.get(path, {}))
    tokens = "" if files or told or refused else _class_tokens(_folders(contents, path))
    unlisted = bool(tables.read) and not files and path not in tables.named
    missing = "has no usable caption" if refused else _missing(contents, path, tables)
    return Picture(path, name, label, files, told, tokens, unlisted, missing)


def _missing(contents: FolderContents, path: Path, tables: TableCaptions) -> str:
    """Say where an image's caption was looked for, and which tables lie there unread."""
    rows = "".join(f", and no row in {printable(contents.label(table))}" for table in tables.read[:_NAMED])
    unread = "".join(f"; {printable(contents.label(other))} there is not read" for other in contents.unread_tables[:_NAMED])
    stem = printable(path.stem)
    return f"has no caption: no {stem}.txt or {stem}.caption in {path.parent}{rows}{unread}"


def _tell_of_class_tokens(pictures: Sequence[Picture], found: ImageFolder) -> None:
    tokens = Counter(picture.class_tokens for picture in pictures if picture.class_tokens)
    for text, count in sorted(tokens.items()):
        found.notices.append(f"{count} image(s) without a caption take their folder's: {printable(text)!r}")
