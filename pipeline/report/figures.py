"""Titled charts with a sentence each that says how to read them: the measures over k, and what happens within each k."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.charts.lines import Intervals, LineChart, Series, draw_lines, legend
from pipeline.methods.measures import MEASURES
from pipeline.report.finished_chain import LOSS_POINTS, FinishedChain, Iteration

ACCENT, QUIET = "var(--accent)", "var(--quiet)"

SMALLEST_CLIP_SPAN = 4.0
"""The CLIP score's axis spans at least this: a wiggle of a tenth shall not look like a collapse."""

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


def over_k(chain: FinishedChain) -> list[Figure]:
    """Draw the measures against k; where the real images have a value, it stands at k = 0."""
    floor, half = chain.real["fid_floor"], chain.real["fid_floor_n"]
    clip_scores = metric_points(chain, "clip_score", real=True)
    return [
        against_k(
            "FID",
            f"{MEASURES['fid'].described()} Dashed: two halves of the real images ({half} each) from one another.",
            [
                Series("FID", metric_points(chain, "fid"), ACCENT, markers=True),
                reference_line("real vs real", floor, chain.last.k),
            ],
            from_zero=True,
            paper="Fig. 3c",
        ),
        against_k(
            "Recall and precision",
            "Share of the real variety that is still drawn (recall), and of images that could be real (precision): 1 is best.",
            [
                Series("recall", metric_points(chain, "recall"), ACCENT, markers=True),
                Series("precision", metric_points(chain, "precision"), QUIET, markers=True),
            ],
            y_range=(0.0, 1.0),
        ),
        against_k(
            "CLIP score",
            f"{MEASURES['clip_score'].note}. At k = 0: the real images.",
            [Series("CLIP score", clip_scores, ACCENT, markers=True)],
            y_range=_with_span(clip_scores, SMALLEST_CLIP_SPAN),
        ),
        against_k(
            "SFD",
            f"{MEASURES['sfd'].note}.",
            [Series("SFD", metric_points(chain, "sfd"), ACCENT, markers=True)],
            from_zero=True,
        ),
    ]


def further_measures(chain: FinishedChain) -> list[Figure]:
    """Draw a curve for each measure that the page has no drawing of its own for."""
    return [
        against_k(
            measure.title,
            measure.described() + (" At k = 0: the real images." if measure.of(0) else ""),
            [Series(measure.title, metric_points(chain, key, measure.of(0)), ACCENT, markers=True)],
            from_zero=measure.from_zero,
        )
        for key, measure in MEASURES.items()
        if "report" in measure.pages and measure.of(1)
    ]


def within_k(chain: FinishedChain) -> list[Figure]:
    """Draw what happens during finetuning and sampling: one line for each k."""
    losses = line_per_iteration(chain, "optimizer step", lambda it: list(it.losses))
    diffs = line_per_iteration(
        chain, "sampling step", lambda it: list(enumerate(it.analysis["diff"], 1)), from_zero=True, whole_x=True
    )
    return [
        Figure(
            "Training loss",
            f"Of every finetuning; each point is the mean over a stretch of the run (at most {LOSS_POINTS} a curve).",
            losses,
        ),
        Figure(
            "What guidance multiplies",
            "Mean norm of the conditional minus the unconditional score, from the noisiest sampling step to the last.",
            diffs,
            paper="Fig. 38b",
        ),
    ]


def metric_points(chain: FinishedChain, key: str, real: bool = False) -> Points:
    """Return (k, metrics/k.json's `key`) for k = 1..K, with `real` from k = 0, the real images, on."""
    start = [(0, chain.real[key])] if real else []
    return [*start, *((iteration.k, iteration.metrics[key]) for iteration in chain.iterations)]


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


def _with_span(points: Points, span: float) -> tuple[float, float]:
    """Return the range of y, widened around its middle to at least `span`."""
    values = [y for _, y in points if y is not None]
    low, high = min(values), max(values)
    room = max(span - (high - low), 0.0) / 2
    return low - room, high + room
