"""Jobs of captioning in small, the models that stand in for BLIP and the tagger, and what they leave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from raw_sets import SaysNumbers, TagsAlike

from pipeline.inputs.captions.caption_job import CaptionJob, ImageCaptioner, ImageTagger, LazyModel
from pipeline.inputs.captions.rules import RULES
from pipeline.inputs.datasets.catalogue import dataset


def job(name: str, raw: Path, out: Path, **changes: object) -> CaptionJob:
    return replace(CaptionJob(dataset(name), raw, out, RULES[name], size=32, batch=2), **changes)  # type: ignore[arg-type]


def says(model: SaysNumbers, identity: str = "blip") -> LazyModel[ImageCaptioner]:
    return LazyModel(identity, lambda: model)


def tags(model: ImageTagger | None = None) -> LazyModel[ImageTagger]:
    return LazyModel("tagger", lambda: model or TagsAlike())


def texts(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text().strip() for path in sorted(folder.glob("*.txt"))}


def tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
