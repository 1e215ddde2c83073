"""Put sentences, images and figures into one self-contained page."""

from __future__ import annotations

from pathlib import Path

from pipeline.chain.params import View
from pipeline.charts.colours import iteration_colours
from pipeline.charts.html import render_template
from pipeline.charts.numbers import short
from pipeline.report.descriptions import describe_outcome, describe_parameters
from pipeline.report.drift import PromptDrift, draw_drift, median_line
from pipeline.report.figures import memorisation_figures, over_k
from pipeline.report.fingerprints import fingerprint_figures
from pipeline.report.finished_chain import FinishedChain
from pipeline.report.image_grid import GridRow
from pipeline.report.projection import projection_figure
from pipeline.report.spectra import spectrum_figures
from pipeline.report.within_k import within_k

_HERE = Path(__file__).parent
STYLE = _HERE / "page.css"
SHOWN_ROWS = 24
"""Prompts that the grid shows before "Show all" is pressed."""


def render_page(params: View, chain: FinishedChain, rows: list[GridRow], drift: PromptDrift) -> str:
    """Return the whole report as HTML."""
    last, prompts = chain.last, len({row["prompt_index"] for row in chain.manifests[0]})
    return render_template(
        _HERE,
        STYLE.read_text(encoding="utf-8"),
        title=params.title,
        outcome=describe_outcome(last.metrics["fid_1"], last.metrics["fid"], chain.real["fid_floor"], last.k),
        sentences=describe_parameters(params, prompts),
        numbers=_headline(chain),
        columns=[("real", "D₀"), *((f"k = {it.k}", f"FID {short(it.metrics['fid'])}") for it in chain.iterations)],
        rows=rows,
        paths=draw_drift(drift, [row.index for row in rows]),
        typical=median_line(drift),
        orders=_orders(rows, drift),
        shown_rows=SHOWN_ROWS,
        prompt_count=prompts,
        last=last.k,
        palette_light=iteration_colours(last.k, dark=False),
        palette_dark=iteration_colours(last.k, dark=True),
        figures_over=over_k(chain),
        figures_map=[projection_figure(chain), *memorisation_figures(chain)],
        figures_spectra=[*spectrum_figures(chain), *fingerprint_figures(chain)],
        figures_within=within_k(chain),
        feature=last.metrics["feature"],
        lineage=chain.lineage,
        parameters=_parameters(params),
    )


def _headline(chain: FinishedChain) -> list[tuple[str, str, str]]:
    """Return names, values and what they mean."""
    first, last = chain.iterations[0].metrics, chain.last.metrics
    rate = last["collapse_rate"]
    numbers = [("FID, iteration 1", short(first["fid"]), "distance to the real images")]
    if chain.last.k > 1:
        numbers += [
            (f"FID, iteration {chain.last.k}", short(last["fid"]), "the same, at the end of the chain"),
            ("collapse rate", ("+" if rate > 0 else "") + short(rate), "FID gained per iteration after the first"),
        ]
    half = chain.real["fid_floor_n"]
    numbers.append(("real vs real", short(chain.real["fid_floor"]), f"FID of two halves of the real images, {half} each"))
    before = f"; {short(first['recall'])} after iteration 1" if chain.last.k > 1 else ""
    numbers.append(("recall", short(last["recall"]), f"of the real variety at the end{before}"))
    return numbers


def _parameters(params: View) -> list[tuple[str, str]]:
    values = params.as_dict() | {"iterations": len(params.iterations)}
    return [
        (name, "–" if value is None else str(value).lower() if isinstance(value, bool) else str(value))
        for name, value in values.items()
    ]


def _orders(rows: list[GridRow], drift: PromptDrift) -> list[tuple[str, str]]:
    """Return the names of the grid's orders, and the rows' places in each; as given first."""
    place = {row.index: i for i, row in enumerate(rows)}
    found = drift.orders(list(place))
    named = [("as given", list(place)), *((f"{name} first", order) for name, order in found.items())]
    return [(name, " ".join(str(place[prompt]) for prompt in order)) for name, order in named]
