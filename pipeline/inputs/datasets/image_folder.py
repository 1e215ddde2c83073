"""A folder of images as people keep it: flat, sd-scripts' 10_name folders, Hugging Face's imagefolder -> images and captions.

The one reading of it, for the chain, `dataset check`, `dataset fetch` and `redifine caption`. Every image below the folder is
in the result, in a problem or, where it was left out on purpose, in a notice that counts it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from pipeline.core.errors import printable
from pipeline.inputs.datasets.caption_files import caption_of_text, read_caption
from pipeline.inputs.datasets.caption_tables import TableCaptions, read_tables
from pipeline.inputs.datasets.folder_contents import (
    TABLE_ADVICE,
    FolderContents,
    is_companion,
    is_list_of_captions,
    litter_notice,
    same_name,
    scan,
)
from pipeline.inputs.datasets.items import CaptionFile, Problem
from pipeline.inputs.datasets.sd_scripts_folders import class_tokens, training_folders
from pipeline.inputs.datasets.splits import UNSAID, images_of_split

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
    everything = scan(root)
    tables = read_tables(everything, column) if with_captions else TableCaptions()
    used = training_folders(everything)
    images, others, unsaid = images_of_split(used.contents, split, tables.splits)
    found = ImageFolder(unusable_tables=tables.unusable)
    found.notices = [*litter_notice(everything.litter), *used.notices, *others]
    found.problems = [*used.contents.problems, *tables.unusable, *tables.problems, *used.problems, *unsaid]
    lonely = _lonely_captions(used.contents.captions, everything)
    lists = [path for path in lonely if is_list_of_captions(path)]
    found.problems += [Problem(everything.label(path), _why_lonely(path)) for path in lonely]
    contents = replace(used.contents, unread_tables=[*used.contents.unread_tables, *lists])
    _pair(contents, images, tables, found)
    found.notices += _class_token_notices(found.pictures)
    found.is_flat = not tables.read and all(picture.path.parent == root for picture in found.pictures)
    return found


def _lonely_captions(captions: Sequence[Path], contents: FolderContents) -> list[Path]:
    """Return the captions without an image, but for files that explain the set."""
    owned = {(path.parent, same_name(path.stem)) for path in contents.images}
    return [path for path in captions if (path.parent, same_name(path.stem)) not in owned and not is_companion(path)]


def _why_lonely(path: Path) -> str:
    advice = f"; {TABLE_ADVICE}" if is_list_of_captions(path) else ""
    return f"has no image beside it{advice}"


def _pair(contents: FolderContents, images: Sequence[Path], tables: TableCaptions, found: ImageFolder) -> None:
    """Put captions to images. Two images that one caption would count for are a problem."""
    beside: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in contents.captions:
        beside[path.parent, same_name(path.stem)].append(path)
    refused = {(path.parent, same_name(path.stem)) for path in contents.refused}
    same: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in images:
        same[path.parent, same_name(path.stem)].append(path)
    names: Counter[str] = Counter()
    for key, paths in same.items():
        files = tuple(beside.get(key, ()))
        if len(paths) > 1 and (files or not all(tables.texts.get(path) for path in paths)):
            found.problems.append(Problem(contents.label(paths[0]), _one_pair(paths)))
        else:
            found.pictures += [_picture(contents, path, files, tables, names, key in refused) for path in paths]


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
    tokens = "" if files or told or refused else class_tokens(contents.folders(path))
    unlisted = bool(tables.read) and not files and path not in tables.named
    missing = "has no usable caption" if refused else _missing(contents, path, tables)
    return Picture(path, name, label, files, told, tokens, unlisted, missing)


def _missing(contents: FolderContents, path: Path, tables: TableCaptions) -> str:
    """Say where an image's caption was looked for, and which tables lie there unread."""
    unread, unusable, used = (
        [contents.label(table) for table in found if table.parent in path.parents][:_NAMED]
        for found in (contents.unread_tables, [contents.root / problem.file for problem in tables.unusable], tables.read)
    )
    what = "an empty" if path in tables.named else "no"
    rows = "".join(f", and {what} row in {printable(table)}" for table in used)
    rows += "".join(f"; {printable(table)} there cannot be used" for table in unusable)
    rows += "".join(f"; {printable(table)} there is not read" for table in unread)
    stem = printable(path.stem)
    return f"has no caption: no {stem}.txt or {stem}.caption in {path.parent}{rows}"


def _class_token_notices(pictures: Sequence[Picture]) -> list[str]:
    tokens = Counter(picture.class_tokens for picture in pictures if picture.class_tokens)
    return [f"{count} image(s) without a caption take their folder's: {text!r}" for text, count in sorted(tokens.items())]
