"""Measures of an image set, one a file: a number for each D_k, which metrics/k.json has under the measure's key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from pipeline.core.errors import UserError
from pipeline.methods.registry import Registry

if TYPE_CHECKING:
    import numpy as np

Number = int | float
Page = Literal["report", "compare", "table", "summary", "plots"]
EVERYWHERE: tuple[Page, ...] = get_args(Page)
_OTHERS = ("k", "n", "images", "feature", "neighbour_images")
"""What metrics/k.json has besides measures."""


@dataclass(frozen=True)
class MeasuredSets:
    """D_k, and what it is compared with; for k = 0 the real images are both.

    features    [N,d] float32 of D_k's images; `rows` are those of its manifest (file, prompt_index, image_index, prompt)
    one_each    [n,d] of one image a prompt, as D_0 has: for what depends on the size of a set
    real        [M,d] of D_0's images, and `real_rows`
    training    [T,d] of the images that M_k was finetuned on; none for k = 0
    near_*      those of them whose neighbours are looked for, since there every pair is compared: `near_one_each`,
                `near_features`, `near_real` have the same prompts
    clip_images, clip_texts    [N,e] embeddings of the images and of their prompts
    of_images   {key: its value for each image}, of the measures of single images
    found       values of the measures before this one; `of_real` and `previous` are metrics/0.json and metrics/{k-1}.json
    images      reads the images once more, in order: [H,W,3] uint8 each
    params      what stage measure reads: neighbours, frequency_cutoff ...
    """

    k: int
    params: Any
    rows: Sequence[Mapping[str, Any]]
    real_rows: Sequence[Mapping[str, Any]]
    features: np.ndarray
    one_each: np.ndarray
    real: np.ndarray
    training: np.ndarray
    near_features: np.ndarray
    near_one_each: np.ndarray
    near_real: np.ndarray
    near_training: np.ndarray
    clip_images: np.ndarray
    clip_texts: np.ndarray
    of_images: Mapping[str, Sequence[float]]
    of_real: Mapping[str, Any]
    previous: Mapping[str, Any]
    found: Mapping[str, Any]
    images: Callable[[], Iterator[np.ndarray]]


@dataclass(frozen=True)
class Measure:
    """A number for each D_k: how it is computed, and what pages say of it.

    `note` explains it to a stranger, without a full stop; `better` is the direction, "" where neither is. `sets` says whether
    it is measured of drawn sets (k >= 1), of D_0 or of both, `pages` which pages show it as they show any measure (the report
    has drawings of its own for some). `heading` stands over its column in tables of runs, whose last k is K; `plot` is its name
    in `dvc plots` and `dvc exp show`.
    """

    key: str
    title: str
    note: str
    heading: str
    plot: str
    better: Literal["", "lower", "higher"] = ""
    unit: str = ""
    source: str = ""
    sets: Literal["drawn", "real", "both"] = "drawn"
    pages: tuple[Page, ...] = EVERYWHERE
    from_zero: bool = False
    compute: Callable[[MeasuredSets], Number | None] | None = None
    of_image: Callable[[np.ndarray, Any], float] | None = None
    to_real: str = ""
    relate: Callable[[float, float], float | None] | None = None
    """Where it only sets `to_real` of D_k in relation to that of the real images: pages do so, metrics/k.json has no value."""

    def of(self, k: int) -> bool:
        """Return whether metrics/k.json has it."""
        return self.compute is not None and (self.sets == "both" or (self.sets == "real") == (k == 0))

    def described(self) -> str:
        """Return the note with unit and direction, as sentences."""
        more = [*([f"in {self.unit}"] if self.unit else []), *([f"{self.better} is better"] if self.better else [])]
        if not more:
            return f"{self.note}."
        text = "; ".join(more)
        return f"{self.note}: {text}." if not self.unit and ":" not in self.note else f"{self.note}. {text.capitalize()}."


MEASURES: Registry[Measure] = Registry(
    "measure",
    __name__,
    ("frechet", "collapse_rate", "neighbours", "clip_score", "sfd", "power", "saturation", "generalisation", "entropy"),
)


def _decorator(
    key: str, title: str, note: str, described: Mapping[str, Any], roles: Callable[[Any], Mapping[str, Any]]
) -> Callable[[Any], Any]:
    """Return what registers a function as a measure; `roles` says which fields of `Measure` come from the function."""

    def register(function: Any) -> Any:
        if key in _OTHERS:
            raise UserError(f"a measure cannot be called {key!r}, which metrics/k.json has for something else")
        usual = {"heading": f"{title}_K", "plot": key}
        found = Measure(key, title, note.rstrip("."), **{**usual, **described, **roles(function)})
        if found.better not in ("", "lower", "higher") or found.sets not in ("drawn", "real", "both"):
            raise UserError(f"the measure {key!r} must have better: lower or higher, and sets: drawn, real or both")
        if not set(found.pages) <= set(EVERYWHERE):
            raise UserError(f"the measure {key!r} must have as its pages some of {', '.join(EVERYWHERE)}, got {found.pages!r}")
        MEASURES.register(key, found, function.__module__)
        return function

    return register


def measure(key: str, title: str, note: str, **described: Any) -> Callable[[Any], Any]:
    """Register a function of `MeasuredSets` as the measure `key`; `described` is anything that `Measure` has."""
    return _decorator(key, title, note, described, lambda compute: {"compute": compute})


def image_measure(key: str, title: str, note: str, **described: Any) -> Callable[[Any], Any]:
    """Register a function of one image [H,W,3] uint8 and the parameters of stage measure, of which D_k has the mean."""

    def mean(sets: MeasuredSets) -> float:
        import numpy as np

        return float(np.mean(sets.of_images[key]))

    return _decorator(key, title, note, described, lambda of_image: {"compute": mean, "of_image": of_image})


def relative_measure(key: str, title: str, note: str, to_real: str, **described: Any) -> Callable[[Any], Any]:
    """Register a function of the measure `to_real` of D_k and of the real images. metrics/k.json has no such value, so only
    the pages of `redifine compare` and tables of sweeps can show it."""
    described = {"pages": ("compare", "table")} | described
    return _decorator(key, title, note, described, lambda relate: {"to_real": to_real, "relate": relate})
