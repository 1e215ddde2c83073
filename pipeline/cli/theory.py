"""`redifine theory`: simulate the paper's model, fit it to runs, forecast runs, show what chance alone does."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import FOLDER, FiniteRange, print_notes, together
from pipeline.core.errors import UserError

if TYPE_CHECKING:
    from pipeline.studies.theory.fit_and_forecast import Assumptions
    from pipeline.studies.theory.measured_power import MeasuredSetting

_out = click.option("--out", type=FOLDER, default=Path("theory"), show_default=True, help="Folder for figures and tables.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
_seed = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
_runs = together(
    click.argument("revisions", nargs=-1, metavar="[REV...]"),
    click.option("--experiments", is_flag=True, help="All experiments of HEAD, besides the revisions named."),
    click.option("--group-by", multiple=True, default=("seed",), show_default=True, metavar="PARAM",
                 help="Runs that differ in this parameter alone are one setting; may be repeated."),
    click.option("--run", "root", type=FOLDER, help="A chain's folder, read as it is, instead of revisions."),
    click.option("--start", type=click.IntRange(min=0), default=1, show_default=True, metavar="K",
                 help="First iteration that counts."),
)  # fmt: skip
_assumed = together(
    click.option("--sigma-g0", type=FiniteRange(min=0, min_open=True),
                 help="Spread of S over the first images; default: the measured one."),
    click.option("--mutation", type=FiniteRange(min=0), default=0.0, show_default=True, metavar="X",
                 help="sigma_M = X sigma_E (eq. 16); the paper's ReDiFine has 0.4."),
    click.option("--tail", type=FiniteRange(min=0), default=0.0, show_default=True, metavar="X",
                 help="Soft truncation: kept with probability exp(-d / (X sigma_E)) beyond the zone; 0: hard."),
)  # fmt: skip


@click.group(short_help="The quantitative-trait model: simulate, fit, forecast.")
def theory() -> None:
    """The paper's quantitative-trait model (section 4): simulate it, fit it to runs, forecast runs with it."""


@theory.command(short_help="The paper's simulations (Fig. 4b, 25).")
@_out
@click.option("--iterations", type=click.IntRange(min=1), default=6, show_default=True)
@click.option("--size", type=click.IntRange(min=100), default=20_000, show_default=True, help="Individuals in a population.")
@click.option("--replicates", type=click.IntRange(min=2), default=16, show_default=True, help="Populations for each setting.")
@_seed
def simulate(out: Path, iterations: int, size: int, replicates: int, seed: int) -> None:
    """The paper's simulations: high, medium and low CFG (Fig. 4b), and ReDiFine (Fig. 25) with both soft truncations.

    Writes cfg.svg, redifine.svg and simulation.csv, and prints where each setting ends up.
    """
    from pipeline.studies.theory import simulations

    click.echo(simulations.simulate_paper(out, iterations, size, replicates, seed))


@theory.command(short_help="r1, r2 and sigma_E of measured runs.")
@_runs
@_assumed
@_out
@_json
def fit(out: Path, as_json: bool, **options: Any) -> None:
    """Fit r1, r2 and sigma_E to the power S_k by least squares, with 95 % bands.

    REV is what `redifine compare` takes: a commit, branch, tag, DVC experiment or "workspace". Runs that differ in the seed
    alone are one setting and share one fit; several settings share one figure. Without REV: the chain in this folder.

    Writes fit.svg and fit.json. --start 0 counts the real images, too: from them to the first generated ones the power often
    jumps for reasons that have nothing to do with selection.

    Example: redifine theory fit cfg1 cfg2.5 cfg7.5
    """
    from pipeline.studies.theory import fit_and_forecast

    settings, assumed = _read(**options)
    fits = fit_and_forecast.fit_settings(settings, assumed, out)
    described = [fit_and_forecast.describe_fit(setting, found) for setting, found in zip(settings, fits, strict=True)]
    click.echo(_as_json(fit_and_forecast.fits_as_json(settings, fits)) if as_json else "\n\n".join(described))


@theory.command(short_help="Later power S_k from earlier iterations.")
@_runs
@click.option("--from", "last_known", type=click.IntRange(min=0), required=True, metavar="J", help="Last iteration known.")
@click.option("--until", type=click.IntRange(min=1), metavar="K", help="Last iteration predicted; default: the run's last.")
@_assumed
@_out
@_json
def forecast(last_known: int, until: int | None, out: Path, as_json: bool, **options: Any) -> None:
    """From the power of iterations START..J predict the later ones, and compare with what then happened.

    REV as for `redifine theory fit`. Writes forecast.svg, a panel for each setting, and forecast.json. The error stands beside
    that of "the power stays as it is at J".

    Example: redifine theory forecast --from 4 --until 12
    """
    from pipeline.studies.theory import fit_and_forecast

    settings, assumed = _read(**options)
    predicted = fit_and_forecast.forecast_settings(settings, last_known, until, assumed, out)
    described = [fit_and_forecast.describe_forecast(prediction) for prediction in predicted]
    click.echo(_as_json([asdict(prediction) for prediction in predicted]) if as_json else "\n\n".join(described))


@theory.command("wright-fisher", short_help="Variance lost by drift, without selection.")
@_out
@click.option("--size", "sizes", type=click.IntRange(min=2), multiple=True, default=(20, 100, 1000), show_default=True)
@click.option("--iterations", type=click.IntRange(min=1), default=60, show_default=True)
@click.option("--replicates", type=click.IntRange(min=2), default=256, show_default=True)
@_seed
def wright_fisher(out: Path, sizes: tuple[int, ...], iterations: int, replicates: int, seed: int) -> None:
    """Genetic drift: the variance that finite populations lose by chance, without selection, against its closed form.

    Writes wright-fisher.svg and wright-fisher.csv.
    """
    from pipeline.studies.theory import simulations

    click.echo(simulations.simulate_wright_fisher(out, sizes, iterations, replicates, seed))


def _read(
    revisions: tuple[str, ...],
    experiments: bool,
    group_by: tuple[str, ...],
    root: Path | None,
    start: int,
    sigma_g0: float | None,
    mutation: float,
    tail: float,
) -> tuple[list[MeasuredSetting], Assumptions]:
    """Return the settings that the options name, and what they assume. Raises UserError for --run beside revisions."""
    from pipeline.core.files import project_root
    from pipeline.studies.theory.fit_and_forecast import Assumptions
    from pipeline.studies.theory.measured_power import read_folder, read_settings
    from pipeline.theory.fit_problem import Variant

    assumed = Assumptions(sigma_g0, Variant(mutation, tail))
    if not revisions and not experiments:
        return [read_folder(root or Path(), start)], assumed
    if root is not None:
        raise UserError("--run reads a folder and REV a revision; give one of the two")
    from pipeline.cli.compare import collect

    found, notices = collect(revisions, experiments, group_by, project_root(), one_scale=False)
    print_notes(*notices)
    return read_settings(found, start), assumed


def _as_json(result: Any) -> str:
    return json.dumps(result, indent=2, sort_keys=True, allow_nan=False)
