"""What one run of `redifine caption` is to do, and what came of it: values only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from PIL import Image

from pipeline.inputs.captions.parts import Parts, Tag
from pipeline.inputs.captions.rules import Rule, Thresholds, Window
from pipeline.inputs.datasets.catalogue import Dataset
from pipeline.inputs.datasets.items import Problem


class ImageCaptioner(Protocol):
    """BLIP, or what stands in for it."""

    def caption(self, images: Sequence[Image.Image], window: Window) -> list[str]: ...


class ImageTagger(Protocol):
    """The WD tagger, or what stands in for it."""

    def tag(self, images: Sequence[Image.Image]) -> list[tuple[Tag, ...]]: ...


T = TypeVar("T")


@dataclass(frozen=True)
class LazyModel(Generic[T]):
    """A model that is loaded only when a part is missing; `identity` changes when what it says would."""

    identity: str
    load: Callable[[], T]


@dataclass(frozen=True)
class CaptionJob:
    """A raw folder, and the folder of images, captions and parts that is made of it; both may be the same."""

    dataset: Dataset
    raw: Path
    out: Path
    rule: Rule
    thresholds: Thresholds = Thresholds()
    windows: tuple[Window, ...] = ()
    """Further windows that BLIP is asked for, for other prompt sets."""
    size: int | None = None
    fit: str = "crop"
    count: int | None = None
    seed: int = 0
    overrides: Path | None = None
    strict: bool = False
    overwrite: bool = False
    """Also captions that were edited by hand."""
    batch: int = 8
    log: Path | None = None
    """Where all problems are listed."""

    @property
    def in_place(self) -> bool:
        return self.out.resolve() == self.raw.resolve()

    @property
    def prepared(self) -> str:
        """Tell how images are made of raw files, as parts.jsonl has it."""
        return f"{self.size} {self.fit}" if self.size else ""


@dataclass
class CaptionResult:
    """Parts and caption of every image, and all that was found wrong."""

    rows: list[Parts] = field(default_factory=list)
    captions: dict[str, str] = field(default_factory=dict)
    hand_edited: int = 0
    """Captions that were edited by hand, and left."""
    problems: list[Problem] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
