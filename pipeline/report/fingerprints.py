"""Fingerprints as small pictures, one for each k on one scale (Fig. 40)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from pipeline.charts.heatmap import ColourScale, colour_bar, heatmap
from pipeline.charts.numbers import short
from pipeline.report.figures import Figure
from pipeline.report.finished_chain import FinishedChain

_CLIPPED, _CLIPPED_CORRELATION = 0.5, 2.0
"""Percent at an end of a scale that may lie beyond it: a few bright points shall not darken all the rest."""


def fingerprint_figures(chain: FinishedChain) -> list[Figure]:
    """Draw the residuals' mean power spectrum, on a logarithmic scale, and its autocorrelation, for k = 0..K."""
    denoiser = chain.real_analysis["fingerprint"]["denoiser"]
    spectra = [maps.spectrum for maps in chain.fingerprints]
    correlations = [maps.autocorrelation for maps in chain.fingerprints]
    return [
        Figure(
            "Fingerprint: power of the residuals",
            f"What a denoiser ({denoiser}) takes away from the images, as a mean power spectrum: coarse structure in the "
            "middle, fine at the rim; bright points off the middle are a regular pattern. All k share the scale.",
            _tiles(_logarithms(spectra), power_scale(spectra)),
            paper="Fig. 40b",
            kind="wide",
        ),
        Figure(
            "Fingerprint: autocorrelation of the residuals",
            "How much a residual resembles itself when shifted: no shift in the middle, which is 1 and off the scale. Lines "
            "and grids away from it are the generator’s trace; compare them with the real images’. All k share the scale.",
            _tiles(correlations, correlation_scale(correlations)),
            paper="Fig. 40a",
            kind="wide",
        ),
    ]


def power_scale(maps: Sequence[np.ndarray]) -> ColourScale:
    """Return a logarithmic scale, from the smallest to the largest power of all maps but half a percent at each end."""
    logarithms = np.concatenate([m.ravel() for m in _logarithms(maps)])
    finite = logarithms[np.isfinite(logarithms)]
    low, high = np.percentile(finite, [_CLIPPED, 100 - _CLIPPED]) if len(finite) else (0.0, 0.0)
    return ColourScale("magma", float(low), float(high), short(10.0 ** float(low)), short(10.0 ** float(high)))


def correlation_scale(maps: Sequence[np.ndarray]) -> ColourScale:
    """Return a scale symmetric about 0 and as wide as the values away from the middle, where it is 1 by definition."""
    sizes = np.concatenate([np.delete(np.abs(m).ravel(), np.argmax(m)) for m in maps])
    high = float(np.percentile(sizes, 100 - _CLIPPED_CORRELATION)) if len(sizes) else 1.0
    return ColourScale("red_blue", -high, high, short(-high), short(high))


def _logarithms(maps: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return log10, minus infinity where there is no power."""
    with np.errstate(divide="ignore"):
        return [np.log10(m.astype(np.float64)) for m in maps]


def _tiles(maps: Sequence[np.ndarray], scale: ColourScale) -> Markup:
    tile = Markup(
        '<div class="tile"><img class="heat" src="{}" alt="{}"><span class="key" style="--c: var(--k{})">{}</span></div>'
    )
    names = ["real", *(f"k = {k}" for k in range(1, len(maps)))]
    tiles = [tile.format(heatmap(m, scale), name, k, name) for k, (m, name) in enumerate(zip(maps, names, strict=True))]
    return Markup('<div class="tiles">{}</div>{}').format(Markup("").join(tiles), colour_bar(scale))
