"""Simulations for `redifine theory`: run the model, write figures and tables, return the text to print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pipeline.core.files import write_text
from pipeline.core.randomness import derive_seed
from pipeline.studies.theory import figures
from pipeline.theory.paper_values import PAPER_REDIFINE_SELECTION, PAPER_REDIFINE_TRAIT, PAPER_SELECTION, PAPER_TRAIT
from pipeline.theory.population import half_life, simulate, variance_left, wright_fisher
from pipeline.theory.recursion import Trait, response_limit, trajectory, variance_limit
from pipeline.theory.truncation import Selection

FAR = 200
"""Iteration at which the recursion's response is compared with its limit (Theorem 1)."""


def simulate_paper(out: Path, iterations: int, size: int, replicates: int, seed: int) -> str:
    """Write figures 4b and 25 and their table; return one line a setting."""
    plain = {name: (selection, PAPER_TRAIT) for name, selection in PAPER_SELECTION.items()}
    mutated = {name: (selection, PAPER_REDIFINE_TRAIT) for name, selection in PAPER_REDIFINE_SELECTION.items()}
    groups = [
        ("cfg.svg", "Selection for three CFG scales (Fig. 4b)", plain),
        ("redifine.svg", "Mutation and soft truncation (Fig. 25)", {"CFG 7.5, hard": plain["high (CFG 7.5)"], **mutated}),
    ]
    rows, lines = [], [_SETTING_HEAD]
    for file, title, settings in groups:
        curves = {
            name: _curve(selection, trait, iterations, size, replicates, derive_seed("theory", seed, name))
            for name, (selection, trait) in settings.items()
        }
        write_text(out / file, figures.draw_simulations(curves, title))
        rows += [row for name, curve in curves.items() for row in _curve_rows(name, curve)]
        lines += [_setting_line(name, *settings[name]) for name in settings]
    _write_csv(
        out / "simulation.csv", ["setting", "t", "mean", "sigma_P", "h2", "simulated", "error", "simulated_sigma_P"], rows
    )
    return "\n".join(lines)


def _curve(
    selection: Selection, trait: Trait, iterations: int, size: int, replicates: int, seed: int
) -> figures.SimulatedCurve:
    found = simulate(selection, trait, iterations, size, replicates, seed)
    mean, error = found.estimate("mean")
    variance, variance_error = found.estimate("variance_P")
    sigma_P = np.sqrt(variance)
    path = trajectory(selection, trait, iterations)
    return figures.SimulatedCurve(path, mean, error, sigma_P, variance_error / (2 * sigma_P))


def _curve_rows(name: str, curve: figures.SimulatedCurve) -> Iterable[list[object]]:
    path = curve.path
    columns = (path.mean, path.sigma_P, path.heritability, curve.mean, curve.mean_error, curve.sigma_P)
    return ([name, t, *(float(value) for value in values)] for t, values in enumerate(zip(*columns, strict=True)))


_SETTING_HEAD = (
    f"{'setting':26}{'r1':>7}{'r2':>8}{'rate':>6}{'sigma_M':>9}{'response limit':>16}{f'at t={FAR}':>11}{'sigma_P limit':>15}"
)


def _setting_line(name: str, selection: Selection, trait: Trait) -> str:
    limit = float(response_limit(selection, trait.sigma_E, trait.sigma_M))
    far = float(np.diff(trajectory(selection, trait, FAR).mean)[-1])
    deviation = float(np.sqrt(variance_limit(selection, trait.sigma_E)))
    shares = f"{selection.r1:>7}{selection.r2:>8}{selection.rate:>6g}{trait.sigma_M:>9}"
    return f"{name:26}{shares}{limit:>16.6f}{far:>11.6f}{deviation:>15.4f}"


def simulate_wright_fisher(out: Path, sizes: Sequence[int], iterations: int, replicates: int, seed: int) -> str:
    """Write wright-fisher.svg and .csv; return one line a population size."""
    expected = {size: variance_left(size, iterations) for size in sizes}
    found = {
        size: wright_fisher(size, iterations, replicates, derive_seed("drift", seed, size)).estimate("variance_G")
        for size in sizes
    }
    # The first population is itself a sample: its own variance is (1 - 1/N) of the distribution's.
    found = {size: (mean / (1 - 1 / size), error / (1 - 1 / size)) for size, (mean, error) in found.items()}
    write_text(out / "wright-fisher.svg", figures.draw_wright_fisher(expected, found))
    rows = [
        [size, t, float(expected[size][t]), float(found[size][0][t]), float(found[size][1][t])]
        for size in sizes
        for t in range(iterations + 1)
    ]
    _write_csv(out / "wright-fisher.csv", ["size", "t", "expected", "simulated", "error"], rows)
    lines = [f"{'N':>6}{'half-life':>11}{f'left at t={iterations}':>16}{'simulated':>11}{'error':>9}"]
    for size in sizes:
        mean, error = (values[-1] for values in found[size])
        lines.append(f"{size:>6}{half_life(size):>11.1f}{expected[size][-1]:>16.4f}{mean:>11.4f}{error:>9.4f}")
    return "\n".join(lines)


def _write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([f"{value:.8g}" if isinstance(value, float) else value for value in row] for row in rows)
    write_text(path, text.getvalue())
