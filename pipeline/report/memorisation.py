"""Memorisation over k (the second paper, arXiv 2509.16499): generalisation score and entropies."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.charts.lines import Series
from pipeline.charts.statistics import pearson
from pipeline.methods.measures import MEASURES
from pipeline.report.figures import ACCENT, QUIET, Figure, against_k, metric_points
from pipeline.report.finished_chain import FinishedChain

SECOND_PAPER = "arXiv 2509.16499"


def memorisation_figures(chain: FinishedChain) -> list[Figure]:
    """Draw the distance of D_k to T_k, and the entropies of both; values that could not be measured are left out."""
    score = MEASURES["generalisation_score"]
    drawn = metric_points(chain, "entropy", real=True)
    return [
        against_k(
            score.title,
            f"{score.note}.",
            [Series("score", metric_points(chain, score.key), ACCENT, markers=True)],
            from_zero=True,
            paper=SECOND_PAPER,
        ),
        against_k(
            "Entropy",
            "How widely images spread in feature space (Kozachenko–Leonenko, in nats; it may be negative): falling means that "
            f"they crowd together. At k = 0: the real images. {_correlation_note(chain)}",
            [
                Series("drawn images, Dₖ", drawn, ACCENT, markers=True),
                Series("training set, Tₖ", metric_points(chain, "entropy_training"), QUIET, markers=True),
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
