"""What is to be drawn, and which of it is drawn already: a batch is finished when its folder in the scratch folder is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.chain.shards import LOOSE, Sharding
from pipeline.sample.png import Lineage
from pipeline.sample.sampler import Settings


@dataclass(frozen=True)
class PlannedImage:
    """One image to draw."""

    file: str
    prompt_index: int
    image_index: int
    prompt: str
    seed: int


@dataclass(frozen=True)
class Plan:
    """Images to draw, in order, `batch` at a time; `name` says in messages what they are ("D_3")."""

    name: str
    jobs: list[PlannedImage]
    settings: Settings
    lineage: Lineage
    batch: int
    scratch: Path
    sharding: Sharding = LOOSE

    def parts(self) -> list[tuple[Path, list[PlannedImage]]]:
        """(folder, jobs) of each batch; the folder exists when the batch is finished."""
        starts = range(0, len(self.jobs), self.batch)
        return [(self.folder(start), self.jobs[start : start + self.batch]) for start in starts]

    def folder(self, number: int) -> Path:
        """Where image `number` is put with its batch."""
        return self.scratch / f"{number - number % self.batch:06d}"

    def unfinished(self) -> list[int]:
        """Numbers of the batches that are still to be drawn."""
        return [number for number, (folder, _) in enumerate(self.parts()) if not folder.is_dir()]

    def drawn(self, images: range) -> bool:
        """Whether all of these images are."""
        first = images.start - images.start % self.batch
        return all(self.folder(start).is_dir() for start in range(first, images.stop, self.batch))

    def images(self, numbers: Sequence[int]) -> int:
        """How many images these batches have."""
        return sum(min(self.batch, len(self.jobs) - number * self.batch) for number in numbers)
