"""Find the run and the iteration that a stray image or LoRA belongs to."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from pipeline.chain.paths import Layout, iteration_of, iterations
from pipeline.core.errors import UserError, printable
from pipeline.core.files import sha256_file
from pipeline.core.tensors import read_metadata
from pipeline.inputs.datasets.color.png_chunks import SIGNATURE, read_png
from pipeline.provenance.lineage.runs import RecordedRun, other_runs, work_tree
from pipeline.sample.png import KEY, parse_parameters
from pipeline.versioning.leftovers import check_in_chain
from pipeline.versioning.revisions import WORKSPACE

_LAYOUT = Layout()
_IMAGES, _WEIGHTS = (".png",), (".safetensors",)


@dataclass(frozen=True)
class UnknownFile:
    """A file from anywhere, and what it says about itself."""

    path: Path
    sha256: str
    says: dict[str, str] = field(default_factory=dict)
    """Fields of a PNG's "parameters" text, or a LoRA's metadata."""

    @property
    def model_sha256(self) -> str | None:
        """The LoRA that drew the image, or the LoRA itself."""
        return self.says.get("Lora sha256") if self.path.suffix.lower() in _IMAGES else self.sha256


@dataclass(frozen=True)
class Match:
    """Where a stray file belongs."""

    run: RecordedRun
    target: str
    """The output that it is a part of, or was drawn with: data/D_k or models/M_k."""
    exact: bool
    """Whether its bytes are recorded there; else its own words led here."""
    row: dict[str, Any] = field(default_factory=dict)
    """The image's row of the manifest."""


def read_unknown_file(path: Path) -> UnknownFile:
    """Raise UserError for a file that is missing, damaged, or neither a PNG nor a safetensors file."""
    if not path.is_file():
        shards = sorted(path.parent.glob("*.tar")) if path.suffix.lower() in _IMAGES else []
        where = f"unpack it with 'tar -xf' from one of the {len(shards)} tar shards beside it, or " if shards else ""
        raise UserError(f"there is no file {path}; {where}name an iteration K, a .png or a .safetensors file")
    if path.suffix.lower() in _IMAGES:
        says = _image_text(path)
    elif path.suffix.lower() in _WEIGHTS:
        says = read_metadata(path)
    else:
        raise UserError(f"{path} is neither a .png nor a .safetensors file; name an image or a LoRA, or an iteration K")
    return UnknownFile(path, sha256_file(path), says)


def _image_text(path: Path) -> dict[str, str]:
    try:
        content = path.read_bytes()
        # Without other texts: Pillow opens no image whose text is large, as drawing programs write it.
        png = read_png(content, KEY.encode()).content if content.startswith(SIGNATURE) else content
        with Image.open(io.BytesIO(png)) as image:
            text = image.info.get(KEY)
        return parse_parameters(text) if isinstance(text, str) else {}
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} is damaged or no image; fetch it again") from error


def find_matches(file: UnknownFile, root: Path) -> list[Match]:
    """Return the work tree's place for it, else every run's of Git and DVC; by its bytes, else by what it says about itself.

    Raise UserError when no run has it.
    """
    guesses: list[Match] = []
    exact: list[Match] = []
    seen: set[tuple[str, str | None]] = set()
    for run in chain([work_tree(root)], other_runs(root)):
        for match in _in_run(file, run, seen):
            (exact if match.exact else guesses).append(match)
        if exact and run.name == WORKSPACE:
            break
    if not exact and not guesses:
        if (place := file.path.resolve()).is_relative_to(root.resolve()):
            k = iteration_of(place.relative_to(root.resolve()).as_posix())
            check_in_chain(root, -1 if k is None else k)
        raise UserError(
            f"{file.path} belongs to no run that is known here{_own_words(file)}; 'redifine ls' fetches the records of others"
        )
    return exact or guesses[:1]


def _in_run(file: UnknownFile, run: RecordedRun, seen: set[tuple[str, str | None]]) -> Iterator[Match]:
    """Yield the places in one run; folders with a hash that was `seen` in an earlier run are not read again."""
    image = file.path.suffix.lower() in _IMAGES
    for k in _iterations(file, run):
        images, model = _LAYOUT.images(k).as_posix(), _LAYOUT.model(k).as_posix()
        if image and _is_new(run, images, seen):
            yield from (Match(run, images, True, row) for row in _rows(run, k) if row.get("sha256") == file.sha256)
        if not (k and file.model_sha256 and _is_new(run, model, seen)):
            continue
        if run.read_mapping(_LAYOUT.lineage(k)).get("lora_sha256") == file.model_sha256:
            drawn = image and file.says.get("Iteration") == str(k)
            yield Match(run, images if drawn else model, not image)


def _is_new(run: RecordedRun, path: str, seen: set[tuple[str, str | None]]) -> bool:
    place = (path, run.md5(path))
    if place[1] is not None and place in seen:
        return False
    seen.add(place)
    return True


def _iterations(file: UnknownFile, run: RecordedRun) -> list[int]:
    """Return the iterations to look at: the one that the file says it is of, where it says so."""
    there = iterations(item.path + "/" for stage in run.stages.values() for item in stage.outs)
    said = file.says.get("Iteration") or file.says.get("ss_output_name", "").removeprefix("M_")
    return [k for k in there if str(k) == said] if said.isascii() and said.isdigit() else there


def _rows(run: RecordedRun, k: int) -> list[dict[str, Any]]:
    try:
        lines = run.read(_LAYOUT.manifest(k)).decode().split("\n")
        return [row for line in lines if line and isinstance(row := json.loads(line), dict)]
    except (UserError, ValueError):
        return []


def _own_words(file: UnknownFile) -> str:
    """Return what it says about itself, for a message."""
    wanted = ("Iteration", "Model", "Lora hashes", "Seed", "ss_output_name", "ss_sd_model_name")
    said = ", ".join(f"{name} {file.says[name]}" for name in wanted if name in file.says)
    return f" (it says: {printable(said)})" if said else ", and says nothing about itself"
