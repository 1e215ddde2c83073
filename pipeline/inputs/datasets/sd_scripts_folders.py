"""sd-scripts' own layout: img/10_name class/*.png, reg/ beside it, and what the trainer writes into model/ and log/."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.core.errors import printable
from pipeline.inputs.datasets.folder_contents import FolderContents, kind_of
from pipeline.inputs.datasets.items import Problem

_REPEATED = re.compile(r"([0-9]+)_(.*)", re.DOTALL)
"""Repeats, then name and class: the caption of an image without one."""

_REGULARISATION = re.compile(
    r"regs?|(?:reg|regulari[sz]ations?|class)[ _-]?(?:images?|imgs?|data|set)|regulari[sz]ations?", re.IGNORECASE
)
_REGULARISATION_WORD = re.compile(r"(?:reg|regulari[sz]ation)s?(?:ima?ge?s?|data|set)?\d*", re.IGNORECASE)
_CLASS_IMAGES = re.compile(r"class[ _-]?(?:images?|imgs?)\b", re.IGNORECASE)
"""Beside folders named like 10_name, whose own names are subjects: reg_man, img-reg, class_images_man."""
_OUTPUTS = frozenset({"model", "models", "log", "logs", "sample", "samples", "output", "outputs"})
"""Folders beside those that are read, which the trainer writes to."""

_NAMED = 4


@dataclass
class TrainingFolders:
    """What of a folder is trained on: its contents without the rest, and what is to be told of that."""

    contents: FolderContents
    notices: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def training_folders(contents: FolderContents) -> TrainingFolders:
    """Leave out regularisation images and, where folders are named as sd-scripts has them, what it would not train on.

    Every image that is left out is counted in a notice or named in a problem.
    """
    kept, notices = _without(contents, _is_regularisation, "regularisation image(s)")
    if all(_repeats(contents.folders(path)) is None for path in kept.images):
        return TrainingFolders(kept, notices)
    for condition, what in (
        (_is_named_for_regularisation, "regularisation image(s)"),
        (_is_output, "image(s) of the trainer's outputs"),
        (_is_unused, "image(s) of 0 repeats"),
    ):
        kept, further = _without(kept, condition, what)
        notices += further
    said = sorted({count for path in kept.images if (count := _repeats(contents.folders(path)))})
    if shown := ", ".join(str(count) for count in said if count > 1):
        once = "each image counts once, and 'epochs' in params.yaml says how often"
        notices.append(f"repeats ({shown}) left out: {once}")
    inside = [path for path in kept.images if _repeats(contents.folders(path))]
    reason = "lies in no folder named like 10_name, as the others do; move it into one, or out of here"
    problems = [Problem(contents.label(path), reason) for path in kept.images if path not in set(inside)]
    return TrainingFolders(replace(kept, images=inside), notices, problems)


def class_tokens(folders: Sequence[str]) -> str:
    """Return what the innermost folder named like 10_name class says, "" outside of them."""
    return next((match[2] for name in reversed(folders) if (match := _REPEATED.fullmatch(name))), "")


def _repeats(folders: Sequence[str]) -> int | None:
    """Return the repeats that the innermost of such folders says; None outside of them."""
    return next((int(match[1][:9]) for name in reversed(folders) if (match := _REPEATED.fullmatch(name))), None)


def _is_regularisation(folders: Sequence[str]) -> bool:
    return any(_REGULARISATION.fullmatch(name) for name in folders)


def _is_named_for_regularisation(folders: Sequence[str]) -> bool:
    return any(map(_says_regularisation, folders))


def _says_regularisation(name: str) -> bool:
    """Tell whether a folder's name, or all that follows its repeats (1_reg), says that it holds regularisation images."""
    if repeated := _REPEATED.fullmatch(name):
        return _REGULARISATION.fullmatch(repeated[2]) is not None
    words = re.split(r"[ _.-]+", name)
    return any(map(_REGULARISATION_WORD.fullmatch, words)) or _CLASS_IMAGES.match(name.replace("_", " ")) is not None


def _is_output(folders: Sequence[str]) -> bool:
    return bool(folders) and folders[0].lower() in _OUTPUTS


def _is_unused(folders: Sequence[str]) -> bool:
    return _repeats(folders) == 0


def _without(
    contents: FolderContents, condition: Callable[[Sequence[str]], bool], what: str
) -> tuple[FolderContents, list[str]]:
    """Return the contents without the folders of a condition, and a line that counts their images, if there are any."""

    def kept(paths: list[Path]) -> list[Path]:
        return [path for path in paths if not condition(contents.folders(path))]

    broken = [contents.root / problem.file for problem in contents.problems if kind_of(Path(problem.file)) == "image"]
    gone = [path for path in (*contents.images, *broken) if condition(contents.folders(path))]
    rest = replace(
        contents,
        images=kept(contents.images),
        captions=kept(contents.captions),
        unread_tables=kept(contents.unread_tables),
        refused=kept(contents.refused),
        problems=[problem for problem in contents.problems if not condition(problem.file.split("/")[:-1])],
    )
    places = list(dict.fromkeys(contents.label(path.parent) for path in gone))
    shown = ", ".join(map(printable, places[:_NAMED])) + (", ..." if len(places) > _NAMED else "")
    return rest, [f"{len(gone)} {what} left out: {shown}"] if gone else []
