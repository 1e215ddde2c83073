"""`redifine theory`: simulate the paper's model, fit it to a run, forecast a run, show drift."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from pipeline.paths import Layout

_FOLDER = click.Path(path_type=Path, file_okay=False)
_out = click.option("--out", type=_FOLDER, default=Path("theory"), show_default=True, help="Folder for figures and tables.")
_run = click.option("--run", "root", type=_FOLDER, default=Path(), help="Folder of the chain; default: this one.")
_start = click.option(
    "--start", type=click.IntRange(min=0), default=1, show_default=True, metavar="K", help="First iteration that counts."
)
_genetic = click.option(
    "--sigma-g0",
    type=click.FloatRange(min=0, min_open=True),
    help="Spread of S over the first images; default: the measured one.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
_seed = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)


@click.group(short_help="The quantitative-trait model: simulate, fit, forecast.")
def theory() -> None:
    """The paper's quantitative-trait model (section 4): simulate it, fit it to a run, forecast a run with it."""


@theory.command()
@_out
@click.option("--iterations", type=click.IntRange(min=1), default=6, show_default=True)
@click.option("--size", type=click.IntRange(min=100), default=20_000, show_default=True, help="Individuals in a population.")
@click.option("--replicates", type=click.IntRange(min=2), default=16, show_default=True, help="Populations for each setting.")
@_seed
def simulate(out: Path, iterations: int, size: int, replicates: int, seed: int) -> None:
    """The paper's simulations: high, medium and low CFG (Fig. 4b), and ReDiFine (Fig. 25) with both soft truncations.

    Writes cfg.svg, redifine.svg and simulation.csv, and prints where each setting ends up.
    """
    from pipeline.theory import studies

    click.echo(studies.simulate_paper(out, iterations, size, replicates, seed))


@theory.command()
@_run
@_start
@_genetic
@_out
@_json
def fit(root: Path, start: int, sigma_g0: float | None, out: Path, as_json: bool) -> None:
    """Fit (r1, r2, sigma_E) to the power S_k of a run, by least squares, with 95 % bands (delta method).

    Writes fit.svg and fit.json. --start 0 counts the real images, too: from them to the first generated ones the power often
    jumps for reasons that have nothing to do with selection.

    Example: redifine theory fit
    """
    from pipeline.theory import studies

    fitted = studies.fit_run(Layout(root), start, sigma_g0, out)
    click.echo(_as_json(fitted) if as_json else studies.describe_fit(fitted, start))


@theory.command()
@_run
@click.option("--from", "last_known", type=click.IntRange(min=0), required=True, metavar="J", help="Last iteration known.")
@click.option("--until", type=click.IntRange(min=1), metavar="K", help="Last iteration predicted; default: the run's last.")
@_start
@_genetic
@_out
@_json
def forecast(
    root: Path, last_known: int, until: int | None, start: int, sigma_g0: float | None, out: Path, as_json: bool
) -> None:
    """From the power of iterations START..J predict the later ones, and compare with what then happened.

    Writes forecast.svg and forecast.json. The error stands beside that of "the power stays as it is at J".

    Example: redifine theory forecast --from 4 --until 12
    """
    from pipeline.theory import studies

    predicted = studies.forecast_run(Layout(root), start, last_known, until, sigma_g0, out)
    click.echo(_as_json(predicted) if as_json else studies.describe_forecast(predicted))


@theory.command()
@_out
@click.option("--size", "sizes", type=click.IntRange(min=2), multiple=True, default=(20, 100, 1000), show_default=True)
@click.option("--iterations", type=click.IntRange(min=1), default=60, show_default=True)
@click.option("--replicates", type=click.IntRange(min=2), default=256, show_default=True)
@_seed
def drift(out: Path, sizes: tuple[int, ...], iterations: int, replicates: int, seed: int) -> None:
    """Wright-Fisher drift: the variance that finite populations lose without selection, against its closed form.

    Writes drift.svg and drift.csv.
    """
    from pipeline.theory import studies

    click.echo(studies.show_drift(out, sizes, iterations, replicates, seed))


def _as_json(result: Any) -> str:
    return json.dumps(asdict(result), indent=2, sort_keys=True, allow_nan=False)
