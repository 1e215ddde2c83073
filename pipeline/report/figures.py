"""Which curves the page shows, with a sentence each that says how to read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.report.chart import Chart, Series, legend, render
from pipeline.report.record import LOSS_POINTS, Iteration, Record

ACCENT, QUIET = "var(--accent)", "var(--quiet)"

SMALLEST_CLIP_SPAN = 4.0
"""The CLIP score's axis spans at least this: a wiggle of a tenth shall not look like a collapse."""

Points = Sequence[tuple[float, float | None]]


@dataclass(frozen=True)
class Figure:
    """A titled chart; `note` tells a stranger how to read it, `key` is its legend, empty where lines are iterations."""

    title: str
    note: str
    svg: Markup
    key: Markup = Markup("")


def palette(last: int, dark: bool) -> list[str]:
    """CSS colours of k = 1..`last`: violet over red to amber, in equal steps of lightness; lighter on a dark page."""
    low, high = (0.56, 0.87) if dark else (0.36, 0.77)
    shares = [i / max(last - 1, 1) for i in range(last)]
    return [f"oklch({low + (high - low) * t:.3f} 0.16 {(290 + 145 * t) % 360:.1f})" for t in shares]


def over_k(record: Record) -> list[Figure]:
    """The measures against k; where the real images have a value, it stands at k = 0."""
    floor, half = record.real["fid_floor"], record.real["fid_floor_n"]
    last = record.last.k
    clip_scores = _values(record, "clip_score", record.real["clip_score"])
    return [
        _measure(
            "FID",
            f"Distance of all images, as a distribution, from the real ones: lower is better. "
            f"Dashed: two halves of the real images ({half} each) from one another.",
            [Series("FID", _values(record, "fid"), ACCENT, markers=True), _level("real vs real", floor, last)],
            from_zero=True,
        ),
        _measure(
            "Recall and precision",
            "Share of the real variety that is still drawn (recall), and of images that could be real (precision): 1 is best.",
            [
                Series("recall", _values(record, "recall"), ACCENT, markers=True),
                Series("precision", _values(record, "precision"), QUIET, markers=True),
            ],
            y_range=(0.0, 1.0),
        ),
        _measure(
            "CLIP score",
            "How well images show their prompts, at most 100. At k = 0: the real images.",
            [Series("CLIP score", clip_scores, ACCENT, markers=True)],
            y_range=_with_span(clip_scores, SMALLEST_CLIP_SPAN),
        ),
        _measure(
            "SFD",
            "How far an image has moved, in feature space, from the real image of its own prompt.",
            [Series("SFD", _values(record, "sfd"), ACCENT, markers=True)],
            from_zero=True,
        ),
        _measure(
            "High-frequency power",
            "Fine structure, relative to the real images: rising means noise and hard edges, falling means blur.",
            [Series("power", _values(record, "power_ratio", 1.0), ACCENT, markers=True), _level("real images", 1.0, last)],
            from_zero=True,
        ),
        _measure(
            "Colour saturation",
            "Mean over all pixels, from 0 (grey) to 1 (pure colour). At k = 0: the real images.",
            [Series("saturation", _values(record, "saturation", record.real["saturation"]), ACCENT, markers=True)],
            from_zero=True,
        ),
    ]


def within_k(record: Record) -> list[Figure]:
    """What happens inside the iterations: one line for each k."""
    return [
        Figure(
            "Training loss",
            f"Of every finetuning; each point is the mean over a stretch of the run (at most {LOSS_POINTS} a curve).",
            _lines("optimizer step", record, lambda it: list(it.losses)),
        ),
        Figure(
            "What guidance multiplies",
            "Mean norm of the conditional minus the unconditional score, from the noisiest sampling step to the last.",
            _lines("sampling step", record, lambda it: list(enumerate(it.analysis["diff"], 1)), from_zero=True, whole_x=True),
        ),
        Figure(
            "Values of the last latents",
            "Their density before decoding: narrowing goes with blur and sameness, longer tails with oversaturation.",
            _lines("value of a latent", record, _latent_density, from_zero=True),
        ),
        Figure(
            "Radial power spectrum",
            "Share of an image’s power at each spatial frequency, on a logarithmic scale. Dashed: the real images.",
            _lines(
                "cycles per pixel",
                record,
                lambda it: _radial(it.analysis["spectrum"]),
                extra=[_real_spectrum(record)],
                log=True,
            ),
        ),
    ]


def _values(record: Record, key: str, real: float | None = None) -> Points:
    start = [] if real is None else [(0, real)]
    return [*start, *((iteration.k, iteration.metrics[key]) for iteration in record.iterations)]


def _with_span(points: Points, span: float) -> tuple[float, float]:
    """The range of y, widened around its middle to at least `span`."""
    values = [y for _, y in points if y is not None]
    low, high = min(values), max(values)
    room = max(span - (high - low), 0.0) / 2
    return low - room, high + room


def _level(name: str, value: float, last: int) -> Series:
    return Series(name, [(0, value), (last, value)], QUIET, dashed=True)


def _measure(
    title: str, note: str, series: list[Series], y_range: tuple[float, float] | None = None, from_zero: bool = False
) -> Figure:
    last = max(x for line in series for x, _ in line.points)
    svg = render(Chart("iteration k", series, (0, last), y_range, from_zero=from_zero, whole_x=True))
    return Figure(title, note, svg, legend(series) if len(series) > 1 else Markup(""))


def _lines(
    x_label: str,
    record: Record,
    points: Callable[[Iteration], Points],
    extra: Sequence[Series] = (),
    from_zero: bool = False,
    log: bool = False,
    whole_x: bool = False,
) -> Markup:
    lines = [Series(f"k = {iteration.k}", points(iteration), f"var(--k{iteration.k})") for iteration in record.iterations]
    return render(Chart(x_label, [*extra, *lines], from_zero=from_zero, log=log, whole_x=whole_x, width=540, height=290))


def _latent_density(iteration: Iteration) -> Points:
    latents = iteration.analysis["latents"]
    return list(zip(latents["centres"], latents["density"], strict=True))


def _radial(spectrum: dict[str, list[float]]) -> Points:
    """Without ring 0, the mean, which is removed beforehand."""
    return list(zip(spectrum["frequencies"], spectrum["radial"], strict=True))[1:]


def _real_spectrum(record: Record) -> Series:
    return Series("real images", _radial(record.last.analysis["spectrum_real"]), "var(--k0)", dashed=True)
