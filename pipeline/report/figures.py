"""Titled charts with a sentence each that says how to read them: how to draw one, and the measures over k."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from pipeline.charts.lines import Intervals, LineChart, Series, draw_lines, legend
from pipeline.charts.numbers import short
from pipeline.charts.statistics import pearson
from pipeline.methods.measures import MEASURES
from pipeline.report.finished_chain import FinishedChain, Iteration

ACCENT, QUIET = "var(--accent)", "var(--quiet)"

SMALLEST_CLIP_SPAN = 4.0
"""The CLIP score's axis spans at least this: a wiggle of a tenth shall not look like a collapse."""

SECOND_PAPER = "arXiv 2509.16499"

_CHANNELS = (("red", "var(--red)"), ("green", "var(--green)"), ("blue", "var(--blue)"))

Points = Sequence[tuple[float, float | None]]


@dataclass(frozen=True)
class Figure:
    """A titled picture; `note` tells a stranger how to read it, `key` is its legend, empty where lines are iterations.

    `paper` names the figure of the paper that it stands for, and `kind` a class of page.css that sets its place.
    """

    title: str
    note: str
    svg: Markup
    key: Markup = Markup("")
    paper: str = ""
    kind: str = ""


def measured(chain: FinishedChain, key: str, name: str, colour: str = ACCENT, real: bool = False) -> Series:
    """Return metrics/k.json's `key` for k = 1..K, with `real` from k = 0, the real images, on."""
    start = [(0, chain.real[key])] if real else []
    points = [*start, *((iteration.k, iteration.metrics[key]) for iteration in chain.iterations)]
    return Series(name, points, colour, markers=True)


def reference_line(name: str, value: float, last: int) -> Series:
    """Return a dashed horizontal line from k = 0 to `last`."""
    return Series(name, [(0, value), (last, value)], QUIET, dashed=True)


def against_k(
    title: str,
    note: str,
    series: Sequence[Series],
    y_range: tuple[float, float] | None = None,
    from_zero: bool = False,
    bands: Sequence[Intervals] = (),
    paper: str = "",
    size: tuple[int, int] = (360, 225),
) -> Figure:
    """Draw a figure whose x axis is the iteration; a legend where there are several lines."""
    last = max((x for line in series for x, _ in line.points), default=1)
    width, height = size
    chart = LineChart(
        "iteration k", series, (0, last), y_range, from_zero=from_zero, whole_x=True, width=width, height=height, bands=bands
    )
    return Figure(title, note, draw_lines(chart), legend(series) if len(series) > 1 else Markup(""), paper)


def line_per_iteration(
    chain: FinishedChain,
    x_label: str,
    points: Callable[[Iteration], Points],
    extra: Sequence[Series] = (),
    from_zero: bool = False,
    log: bool = False,
    whole_x: bool = False,
) -> Markup:
    """Draw a wide chart with a line in each iteration's colour, `extra` behind them."""
    lines = [Series(f"k = {iteration.k}", points(iteration), f"var(--k{iteration.k})") for iteration in chain.iterations]
    return draw_lines(
        LineChart(x_label, [*extra, *lines], from_zero=from_zero, log=log, whole_x=whole_x, width=540, height=290)
    )


def over_k(chain: FinishedChain) -> list[Figure]:
    """Draw the measures against k; where the real images have a value, it stands at k = 0."""
    floor, half = chain.real["fid_floor"], chain.real["fid_floor_n"]
    clip_score = measured(chain, "clip_score", "CLIP score", real=True)
    return [
        against_k(
            "FID",
            f"{MEASURES['fid'].described()} Dashed: two halves of the real images ({half} each) from one another.",
            [measured(chain, "fid", "FID"), reference_line("real vs real", floor, chain.last.k)],
            from_zero=True,
            paper="Fig. 3c",
        ),
        against_k(
            "Recall and precision",
            "Share of the real variety that is still drawn (recall), and of images that could be real (precision): 1 is best.",
            [measured(chain, "recall", "recall"), measured(chain, "precision", "precision", colour=QUIET)],
            y_range=(0.0, 1.0),
        ),
        against_k(
            "CLIP score",
            f"{MEASURES['clip_score'].note}. At k = 0: the real images.",
            [clip_score],
            y_range=_with_span(clip_score.points, SMALLEST_CLIP_SPAN),
        ),
        against_k("SFD", f"{MEASURES['sfd'].note}.", [measured(chain, "sfd", "SFD")], from_zero=True),
        _saturation(chain),
        _mean_colour(chain),
        *_further_measures(chain),
    ]


def _saturation(chain: FinishedChain) -> Figure:
    real, last = chain.real["saturation"], chain.last
    growth = f" Now {short(last.metrics['saturation'] / real)} times theirs." if real > 0 else ""
    return against_k(
        MEASURES["saturation"].title,
        f"{MEASURES['saturation'].note}. Dashed: the real images.{growth}",
        [measured(chain, "saturation", "saturation", real=True), reference_line("real images", real, last.k)],
        from_zero=True,
        paper="Fig. 1b",
    )


def _mean_colour(chain: FinishedChain) -> Figure:
    """Draw the mean of each channel, with a swatch for each k."""
    analyses = [chain.real_analysis, *(iteration.analysis for iteration in chain.iterations)]
    means = [analysis["colour"]["mean"] for analysis in analyses]
    figure = against_k(
        "Mean colour",
        "Mean of the red, green and blue channel, each line in its colour, from 0 to 1; and as a swatch for k = 0 (the real "
        "images) to the last. A drift is a tint.",
        [
            Series(name, list(enumerate(values)), css, markers=True)
            for (name, css), values in zip(_CHANNELS, zip(*means, strict=True), strict=True)
        ],
        y_range=(0.0, 1.0),
    )
    return replace(figure, key=Markup("").join(_swatch(k, mean) for k, mean in enumerate(means)))


def _swatch(k: int, mean: Sequence[float]) -> Markup:
    red, green, blue = (round(255 * min(max(value, 0.0), 1.0)) for value in mean)
    return Markup('<span class="swatch" style="--c: rgb({} {} {})" title="k = {}"></span>').format(red, green, blue, k)


def _further_measures(chain: FinishedChain) -> list[Figure]:
    """Draw a curve for each measure that the page has no drawing of its own for."""
    return [
        against_k(
            measure.title,
            measure.described() + (" At k = 0: the real images." if measure.of(0) else ""),
            [measured(chain, key, measure.title, real=measure.of(0))],
            from_zero=measure.from_zero,
        )
        for key, measure in MEASURES.items()
        if "report" in measure.pages and measure.of(1)
    ]


def memorisation_figures(chain: FinishedChain) -> list[Figure]:
    """Draw the distance of D_k to T_k, and the entropies of both; values that could not be measured are left out."""
    score = MEASURES["generalisation_score"]
    return [
        against_k(score.title, f"{score.note}.", [measured(chain, score.key, "score")], from_zero=True, paper=SECOND_PAPER),
        against_k(
            "Entropy",
            "How widely images spread in feature space (Kozachenko–Leonenko, in nats; it may be negative): falling means that "
            f"they crowd together. At k = 0: the real images. {_correlation_note(chain)}",
            [
                measured(chain, "entropy", "drawn images, Dₖ", real=True),
                measured(chain, "entropy_training", "training set, Tₖ", colour=QUIET),
            ],
            paper=SECOND_PAPER,
        ),
    ]


def correlation(entropies: Sequence[float | None], scores: Sequence[float | None]) -> float | None:
    """Return Pearson's r of entropy and log score, pair by pair; None where `pearson` has none."""
    pairs = zip(entropies, scores, strict=True)
    known = [(entropy, math.log(score)) for entropy, score in pairs if entropy is not None and score]
    return pearson([entropy for entropy, _ in known], [score for _, score in known])


def _correlation_note(chain: FinishedChain) -> str:
    entropies, scores = ([it.metrics[key] for it in chain.iterations] for key in ("entropy_training", "generalisation_score"))
    found = correlation(entropies, scores)
    if found is None:
        return ""
    note = f"Here the entropy of Tₖ and the log of the score correlate at {found:.2f}".replace("-", "−")
    return f"{note}, over {len(scores)} points of one chain; the paper found 0.91 over many."


def _with_span(points: Points, span: float) -> tuple[float, float]:
    """Return the range of y, widened around its middle to at least `span`."""
    values = [y for _, y in points if y is not None]
    low, high = min(values), max(values)
    room = max(span - (high - low), 0.0) / 2
    return low - room, high + room
