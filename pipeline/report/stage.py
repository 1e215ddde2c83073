"""Write report/index.html, report/summary.json and the data of `dvc plots`."""

from __future__ import annotations

from typing import Any

from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.core.files import atomic_folder, write_text
from pipeline.core.json_files import write_json
from pipeline.report.families import read_families
from pipeline.report.page import SHOWN_ROWS, page
from pipeline.report.pictures import grid
from pipeline.report.record import FinishedChain, read_record


def run(params: View, layout: Layout) -> None:
    """Report on the whole chain k = 0..K; `params` has every parameter.

    Raises UserError when something that a stage should have left is missing, damaged or exchanged.
    """
    record = read_record(layout, len(params.iterations))
    families = read_families(record.manifests, record.features)
    write_json(layout.summary, summary(record))
    with atomic_folder(layout.plots) as folder:
        write_json(folder / "metrics.json", metrics_over_k(record))
        write_json(folder / "loss.json", losses(record))
    rows = grid(layout, record.manifests, families.first_to_show(SHOWN_ROWS))
    write_text(layout.report, page(params, record, rows, families))


def summary(record: FinishedChain) -> dict[str, Any]:
    """The last iteration's metrics, one readable column each in `dvc exp show`."""
    last = record.last.metrics
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


def metrics_over_k(record: FinishedChain) -> list[dict[str, Any]]:
    """One record for each k, for `dvc plots`."""
    names = {"k": "k", "FID": "fid", "floor": "fid_floor", "recall": "recall", "precision": "precision",
             "clip_score": "clip_score", "SFD": "sfd", "power_ratio": "power_ratio", "entropy": "entropy",
             "entropy_training": "entropy_training", "generalisation_score": "generalisation_score",
             "saturation": "saturation"}  # fmt: skip
    return [{name: it.metrics[key] for name, key in names.items()} for it in record.iterations]


def losses(record: FinishedChain) -> list[dict[str, Any]]:
    """Smoothed loss curves of every M_k, for `dvc plots`."""
    return [{"k": it.k, "step": step, "loss": loss} for it in record.iterations for step, loss in it.losses]
