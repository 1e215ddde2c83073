"""Write report/index.html, report/summary.json and the data of `dvc plots`."""

from __future__ import annotations

from typing import Any

from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.core.files import atomic_folder, write_text
from pipeline.core.json_files import write_json
from pipeline.methods.measures import MEASURES, Page
from pipeline.report.drift import measure_drift
from pipeline.report.finished_chain import FinishedChain, read_finished_chain
from pipeline.report.image_grid import grid
from pipeline.report.page import SHOWN_ROWS, render_page


def run(params: View, layout: Layout) -> None:
    """Report on the whole chain k = 0..K; `params` has every parameter.

    Raise UserError when something that a stage should have left is missing, damaged or exchanged.
    """
    chain = read_finished_chain(layout, len(params.iterations))
    drift = measure_drift(chain.manifests, chain.features)
    write_json(layout.summary, summary(chain))
    with atomic_folder(layout.plots) as folder:
        write_json(folder / "metrics.json", metrics_over_k(chain))
        write_json(folder / "loss.json", losses(chain))
    rows = grid(layout, chain.manifests, drift.first_to_show(SHOWN_ROWS))
    write_text(layout.report, render_page(params, chain, rows, drift))


def summary(chain: FinishedChain) -> dict[str, Any]:
    """Return the last iteration's metrics, one readable column each in `dvc exp show`."""
    return _shown(chain.last.metrics, "summary")


def metrics_over_k(chain: FinishedChain) -> list[dict[str, Any]]:
    """Return one row for each k, for `dvc plots`."""
    return [{"k": it.k, **_shown(it.metrics, "plots")} for it in chain.iterations]


def _shown(metrics: dict[str, Any], page: Page) -> dict[str, Any]:
    """Return the measures that a page shows, by their names there."""
    return {measure.plot: metrics[key] for key, measure in MEASURES.items() if page in measure.pages and measure.of(1)}


def losses(chain: FinishedChain) -> list[dict[str, Any]]:
    """Return smoothed loss curves of every M_k, for `dvc plots`."""
    return [{"k": it.k, "step": step, "loss": loss} for it in chain.iterations for step, loss in it.losses]
