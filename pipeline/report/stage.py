"""Write report/index.html, report/summary.json and the data of `dvc plots`."""

from __future__ import annotations

from typing import Any

from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.core.files import atomic_folder, write_text
from pipeline.core.json_files import write_json
from pipeline.report.drift import measure_drift
from pipeline.report.finished_chain import FinishedChain, read_finished_chain
from pipeline.report.image_grid import grid
from pipeline.report.page import SHOWN_ROWS, page


def run(params: View, layout: Layout) -> None:
    """Report on the whole chain k = 0..K; `params` has every parameter.

    Raises UserError when something that a stage should have left is missing, damaged or exchanged.
    """
    chain = read_finished_chain(layout, len(params.iterations))
    drift = measure_drift(chain.manifests, chain.features)
    write_json(layout.summary, summary(chain))
    with atomic_folder(layout.plots) as folder:
        write_json(folder / "metrics.json", metrics_over_k(chain))
        write_json(folder / "loss.json", losses(chain))
    rows = grid(layout, chain.manifests, drift.first_to_show(SHOWN_ROWS))
    write_text(layout.report, page(params, chain, rows, drift))


def summary(chain: FinishedChain) -> dict[str, Any]:
    """The last iteration's metrics, one readable column each in `dvc exp show`."""
    last = chain.last.metrics
    return {
        "FID": last["fid"],
        "FID_1": last["fid_1"],
        "collapse_rate": last["collapse_rate"],
        "recall": last["recall"],
        "clip_score": last["clip_score"],
        "SFD": last["sfd"],
        "power_ratio": last["power_ratio"],
        "generalisation_score": last["generalisation_score"],
    }


def metrics_over_k(chain: FinishedChain) -> list[dict[str, Any]]:
    """One chain for each k, for `dvc plots`."""
    names = {"k": "k", "FID": "fid", "floor": "fid_floor", "recall": "recall", "precision": "precision",
             "clip_score": "clip_score", "SFD": "sfd", "power_ratio": "power_ratio", "entropy": "entropy",
             "entropy_training": "entropy_training", "generalisation_score": "generalisation_score",
             "saturation": "saturation"}  # fmt: skip
    return [{name: it.metrics[key] for name, key in names.items()} for it in chain.iterations]


def losses(chain: FinishedChain) -> list[dict[str, Any]]:
    """Smoothed loss curves of every M_k, for `dvc plots`."""
    return [{"k": it.k, "step": step, "loss": loss} for it in chain.iterations for step, loss in it.losses]
