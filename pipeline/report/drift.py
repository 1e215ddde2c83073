"""How far each prompt's images move from its real one over k, and which prompts' move most."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from pipeline.charts.numbers import short

WIDTH, HEIGHT, MARGIN = 132, 34, 3
"""A path's drawing, in its own units."""

Distances = list[float | None]
"""Distance of f(x_k,i) to f(x_0,i) for k = 0..K: 0 at k = 0, None where D_k has no image of the prompt."""


@dataclass(frozen=True)
class PromptDrift:
    """{prompt index: its distances}; a prompt that has no real image has none."""

    distances: Mapping[int, Distances]

    def medians(self) -> Distances:
        """Return the median distance of each k."""
        columns = zip(*self.distances.values(), strict=True)
        return [float(np.median(known)) if (known := _known(column)) else None for column in columns]

    def furthest(self) -> float:
        """Return the largest distance of all, 1 when nothing moved: the paths' common scale."""
        return max((distance for path in self.distances.values() for distance in _known(path)), default=0.0) or 1.0

    def orders(self, prompts: Sequence[int]) -> dict[str, list[int]]:
        """Order `prompts` by their distance at the last k; those without one come last, ties keep their order.

        "worst": largest first; "best": smallest first; "median": nearest to the median of all prompts first.
        """
        last = {prompt: self._last(prompt) for prompt in prompts}
        ends = {prompt: distance for prompt, distance in last.items() if distance is not None}
        without = [prompt for prompt in prompts if prompt not in ends]
        middle = float(np.median(_known(self._last(prompt) for prompt in self.distances))) if ends else 0.0
        return {
            "worst": [*sorted(ends, key=lambda prompt: -ends[prompt]), *without],
            "median": [*sorted(ends, key=lambda prompt: abs(ends[prompt] - middle)), *without],
            "best": [*sorted(ends, key=lambda prompt: ends[prompt]), *without],
        }

    def first_to_show(self, count: int) -> list[int]:
        """Choose the prompts to keep when not all fit into the page: the first `count`, then as many of every order."""
        prompts = sorted(self.distances)
        return [prompt for order in (prompts, *self.orders(prompts).values()) for prompt in order[:count]]

    def _last(self, prompt: int) -> float | None:
        return self.distances[prompt][-1] if prompt in self.distances else None


def measure_drift(manifests: Sequence[Sequence[Mapping[str, Any]]], features: Callable[[int], np.ndarray]) -> PromptDrift:
    """Measure the summands of SFD (eq. 17) from rows and `features`(k) [N_k,d] of D_0..D_K; the mean of a prompt's images."""
    real = {int(row["prompt_index"]): feature for row, feature in zip(manifests[0], features(0), strict=True)}
    paths: dict[int, Distances] = {prompt: [0.0] for prompt in real}
    for k, rows in enumerate(manifests[1:], 1):
        moved: dict[int, list[float]] = {prompt: [] for prompt in real}
        for row, feature in zip(rows, features(k), strict=True):
            prompt = int(row["prompt_index"])
            if prompt in real:
                moved[prompt].append(float(np.linalg.norm(feature.astype(np.float64) - real[prompt])))
        for prompt, distances in moved.items():
            paths[prompt].append(sum(distances) / len(distances) if distances else None)
    return PromptDrift(paths)


def draw_drift(drift: PromptDrift, prompts: Iterable[int]) -> dict[int, Markup]:
    """Draw each prompt's path, on the scale of all; `data-path` holds its values for the viewer, "" where there is none."""
    top = drift.furthest()
    return {prompt: _drawing(drift.distances[prompt], top) for prompt in prompts if prompt in drift.distances}


def median_line(drift: PromptDrift) -> Markup:
    """Draw the medians, which every drawing repeats by reference."""
    line = Markup('<polyline id="typical" points="{}"/>')
    return line.format(_points(drift.medians(), drift.furthest()))


def _drawing(path: Distances, top: float) -> Markup:
    values = " ".join("-" if distance is None else f"{distance:.4g}" for distance in path)
    return Markup(
        '<span class="path"><svg viewBox="0 0 {} {}" aria-hidden="true" data-path="{}">'
        '<use href="#typical"/><polyline points="{}"/></svg>{}</span>'
    ).format(WIDTH, HEIGHT, values, _points(path, top), short(path[-1]))


def _points(path: Distances, top: float) -> str:
    across, up = (WIDTH - 2 * MARGIN) / max(len(path) - 1, 1), (HEIGHT - 2 * MARGIN) / top
    known = [(k, distance) for k, distance in enumerate(path) if distance is not None]
    return " ".join(f"{MARGIN + across * k:.1f},{HEIGHT - MARGIN - up * distance:.1f}" for k, distance in known)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
