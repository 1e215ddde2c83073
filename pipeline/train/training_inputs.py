"""What M_k is trained from: T_k's images and captions, the base model with its tokenizers, the number of updates."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pipeline.chain.image_sets import Images
from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import atomic_folder, remove_folder, sha256_bytes
from pipeline.core.images import IMAGE_ERRORS
from pipeline.core.json_files import read_json, read_jsonl
from pipeline.diffusion.families import family_of
from pipeline.inputs.base_models.tokenizers import lay_out_for_sd_scripts, sd_scripts_folder


@dataclass(frozen=True)
class Example:
    """One entry of T_k; `path` is relative to the project's root."""

    path: str
    caption: str


@dataclass(frozen=True)
class TrainingInputs:
    """What M_k is trained from, apart from the parameters."""

    k: int
    examples: tuple[Example, ...]
    steps: int
    model: str
    vae: str | None
    base_sha256: str
    tokenizer: Path | None
    previous: Path | None
    family: str
    """The key of the model's family."""
    images: str = "."
    """The folder, from the project's root, below which the examples' paths are files."""


def read_inputs(params: View, k: int, layout: Layout) -> TrainingInputs:
    """Collect the inputs of iteration k. Raise UserError when one is missing or an image does not fit."""
    rows = read_jsonl(layout.training_set(k), ("path", "caption"))
    examples = tuple(_example(row) for row in rows)
    if not examples:
        raise UserError(f"{layout.training_set(k)} is empty, so there is nothing to train on; run curate again")
    images = Images(layout.root)
    check_images({row["path"]: row.get("sha256") for row in rows}, images, params.resolution)
    base = read_json(layout.base_record(), {"model": str, "sha256": str})
    model = layout.root / base["model"]
    family = family_of(model)
    family.check_clip_skip(params.clip_skip)
    previous = layout.lora(k - 1) if params.start_from == "previous" and k > 1 else None
    if previous is not None and not previous.is_file():
        raise UserError(f"{previous} does not exist; make it with 'dvc repro train@{k - 1}' or fetch it with 'dvc pull'")
    return TrainingInputs(
        k=k,
        examples=examples,
        steps=params.updates or updates(len(read_jsonl(layout.prompts)), params.batch_size, params.epochs),
        model=base["model"],
        vae=base.get("vae"),
        base_sha256=base["sha256"],
        tokenizer=sd_scripts_folder(model, layout.scratch) if model.is_dir() else None,
        previous=previous,
        family=family.layout.key,
    )


def updates(prompts: int, batch_size: int, epochs: int) -> int:
    """Return optimizer steps: epochs over one image per prompt, however large T_k is (paper, appendix C)."""
    return epochs * -(-prompts // batch_size)


def _example(row: dict[str, Any]) -> Example:
    """Turn line breaks into spaces, as for CLIP's tokenizer: sd-scripts would drop all lines but the first."""
    return Example(path=row["path"], caption=" ".join(row["caption"].splitlines()))


def check_images(recorded: Mapping[str, str | None], images: Images, resolution: int) -> None:
    """Hold the images that T_k lists, {path: sha256}, against it; DVC watches D_{k-1} alone, and T_k may hold older ones.

    Raise UserError for the first that is missing, unreadable, not resolution x resolution pixels, or another image.
    """
    for path, sha256 in recorded.items():
        try:
            content = images.read(path)
            with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
                size = image.size
        except FileNotFoundError as error:
            raise UserError(f"{path} does not exist, but T_k lists it; fetch it with 'dvc checkout'") from error
        except IMAGE_ERRORS as error:
            raise UserError(f"{path} is damaged or no image; restore it with 'dvc checkout'") from error
        if size != (resolution, resolution):
            raise UserError(
                f"{path} has {size[0]}x{size[1]} pixels, but resolution is {resolution} in params.yaml; make it again"
            )
        if sha256 is not None and sha256_bytes(content) != sha256:
            raise UserError(f"{path} is not the image that T_k lists (sha256 differs); restore it with 'dvc checkout'")


def copy_tokenizer(inputs: TrainingInputs, layout: Layout) -> None:
    """Put the base model's own tokenizers where sd-scripts looks for them, so that it asks no hub and uses no other."""
    if inputs.tokenizer is not None:
        lay_out_for_sd_scripts(layout.root / inputs.model, layout.scratch)


@contextmanager
def image_files(paths: Iterable[str], root: Path, scratch: Path) -> Iterator[str]:
    """Yield the folder, from `root`, below which every path is a file: "." where all are, else `scratch` with copies of all.

    The copies go at the end. Raise UserError when the disk is full.
    """
    images = Images(root)
    wanted = list(dict.fromkeys(paths))
    if all(images.is_file(path) for path in wanted):
        yield "."
        return
    with atomic_folder(scratch) as folder:
        for path in wanted:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(images.read(path))
    try:
        yield scratch.relative_to(root).as_posix()
    finally:
        remove_folder(scratch)
