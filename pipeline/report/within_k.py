"""What happens within each k: losses and guidance; the last latents' density and moments beside a Gaussian's (Fig. 38)."""

from __future__ import annotations

from markupsafe import Markup

from pipeline.charts.lines import LineChart, Series, draw_lines
from pipeline.report.figures import ACCENT, Figure, Points, line_per_iteration, reference_line
from pipeline.report.finished_chain import LOSS_POINTS, FinishedChain, Iteration

_GAUSSIAN_KURTOSIS = 3.0


def within_k(chain: FinishedChain) -> list[Figure]:
    """Draw what happens during finetuning and sampling, and the last latents' density, variance and kurtosis."""
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
        _density(chain),
        _moments(chain),
    ]


def _density(chain: FinishedChain) -> Figure:
    """Draw densities on a logarithmic scale, where a Gaussian is a parabola; it ends where the lowest measured density does."""
    measured = [Series(f"k = {it.k}", _curve(it, "density"), f"var(--k{it.k})") for it in chain.iterations]
    positive = [y for line in measured for _, y in line.points if y]
    floor = min(positive, default=0.0)
    fits = [
        Series(line.name, [(x, y) for x, y in _curve(it, "gaussian") if y and y >= floor], line.colour, faint=True)
        for line, it in zip(measured, chain.iterations, strict=True)
    ]
    return Figure(
        "Values of the last latents",
        "Their density before decoding, on a logarithmic scale. Dotted: the Gaussian of the same mean and variance. "
        "Narrowing goes with blur and sameness, tails above the Gaussian’s with oversaturation.",
        draw_lines(LineChart("value of a latent", [*fits, *measured], log=True, width=540, height=290)),
        paper="Fig. 38a",
    )


def _curve(iteration: Iteration, name: str) -> Points:
    found = iteration.analysis["latents"]
    return list(zip(found["centres"], found[name], strict=True))


def _moments(chain: FinishedChain) -> Figure:
    """Draw two low charts, one above the other."""
    variance = Series("variance", _moment(chain, "variance"), ACCENT, markers=True)
    kurtosis = Series("kurtosis", _moment(chain, "kurtosis"), ACCENT, markers=True)
    gaussian = reference_line("Gaussian", _GAUSSIAN_KURTOSIS, chain.last.k)
    upper, lower = ([variance], "variance at iteration k"), ([kurtosis, gaussian], "kurtosis at iteration k")
    charts = [
        draw_lines(LineChart(label, series, (0, chain.last.k), whole_x=True, width=540, height=145))
        for series, label in (upper, lower)
    ]
    return Figure(
        "Variance and kurtosis of the latents",
        "Above: the variance, which falls when the latents shrink (low guidance) and grows when they spread (high). "
        "Below: the kurtosis; dashed, a Gaussian’s 3: more means heavier tails, a few extreme values.",
        Markup("").join(charts),
        paper="Fig. 38a",
    )


def _moment(chain: FinishedChain, name: str) -> Points:
    return [(iteration.k, iteration.analysis["latents"][name]) for iteration in chain.iterations]
