"""The record and what was computed again, side by side: files by their kind, and images wherever they are stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.chain.image_sets import Images
from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.json_files import read_jsonl
from pipeline.provenance.verify.difference import NOT_MADE, Comparison, Tolerance, compare_file, compare_image


@dataclass(frozen=True)
class Pair:
    """Two roots with the same paths below them."""

    recorded: Path
    again: Path
    tolerance: Tolerance

    def files(self, path: str) -> list[Comparison]:
        """One comparison of a file; of a shard that is not byte-equal, one of each image in it."""
        if not path.endswith(".tar"):
            return [compare_file(path, self.recorded / path, self.again / path, self.tolerance)]
        if not (self.again / path).is_file():
            return [Comparison(path, False, False, NOT_MADE)]
        if _same_bytes(self.recorded / path, self.again / path):
            return [Comparison(path, True, True)]
        found = self.images(_images_in(self.recorded, path))
        told = all(comparison.equal for comparison in found)
        return [Comparison(path, False, False, "it differs, and not in its images")] if told else found

    def images(self, paths: Iterable[str]) -> list[Comparison]:
        """Images by their paths, each on its own."""
        return [self._image(path) for path in paths]

    def _image(self, path: str) -> Comparison:
        try:
            recorded = self._both[0].read(path)
        except OSError as error:
            raise UserError(f"{path} cannot be read, so there is nothing to compare with; 'dvc pull' fetches it") from error
        try:
            again: bytes | None = self._both[1].read(path)
        except FileNotFoundError:
            again = None
        return compare_image(path, recorded, again, self.tolerance)

    @cached_property
    def _both(self) -> tuple[Images, Images]:
        return Images(self.recorded), Images(self.again)


def _same_bytes(a: Path, b: Path) -> bool:
    from filecmp import cmp

    return cmp(a, b, shallow=False)


def _images_in(root: Path, shard: str) -> list[str]:
    folder, _, name = shard.rpartition("/")
    rows = read_jsonl(root / folder / Layout().manifest(0).name, ("file",))
    return [f"{folder}/{row['file']}" for row in rows if row.get("shard") == name]
