"""What is to be drawn, and which of it is drawn already: a batch is finished when its folder in the scratch folder is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.chain.paths import image_name
from pipeline.chain.shards import LOOSE, Sharding
from pipeline.core.randomness import image_seed
from pipeline.sample.png import ImageLineage
from pipeline.sample.sampler import SampleSettings


@dataclass(frozen=True)
class PlannedImage:
    """One image to draw."""

    file: str
    prompt_index: int
    image_index: int
    prompt: str
    seed: int


def plan_images(prompts: Iterable[tuple[int, str]], seed: int, k: int, images_per_prompt: int) -> list[PlannedImage]:
    """Return the images of D_k for each prompt (index, text), in order."""
    return [
        PlannedImage(image_name(index, image), index, image, prompt, image_seed(seed, k, index, image))
        for index, prompt in prompts
        for image in range(images_per_prompt)
    ]


@dataclass(frozen=True)
class Plan:
    """Images to draw, in order, `batch` at a time; `name` says in messages what they are ("D_3")."""

    name: str
    images: list[PlannedImage]
    settings: SampleSettings
    lineage: ImageLineage
    batch: int
    scratch: Path
    sharding: Sharding = LOOSE

    def parts(self) -> list[tuple[Path, list[PlannedImage]]]:
        """Return (folder, images) of each batch; the folder exists when the batch is finished."""
        starts = range(0, len(self.images), self.batch)
        return [(self.folder(start), self.images[start : start + self.batch]) for start in starts]

    def folder(self, number: int) -> Path:
        """Return where image `number` is put with its batch."""
        return self.scratch / f"{number - number % self.batch:06d}"

    def unfinished(self) -> list[int]:
        """Return numbers of the batches that are still to be drawn."""
        return [number for number, (folder, _) in enumerate(self.parts()) if not folder.is_dir()]

    def drawn(self, images: range) -> bool:
        """Tell whether all of these images are."""
        first = images.start - images.start % self.batch
        return all(self.folder(start).is_dir() for start in range(first, images.stop, self.batch))

    def count_images(self, numbers: Sequence[int]) -> int:
        """Return how many images these batches have."""
        return sum(min(self.batch, len(self.images) - number * self.batch) for number in numbers)
