"""`redifine sweep ...` and `redifine figure`: many chains, and which of the paper's figures they are."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from pipeline.errors import UserError


def _file(function: click.decorators.FC) -> click.decorators.FC:
    return click.argument("file", type=click.Path(path_type=Path, dir_okay=False))(function)


def _seeds(text: str | None) -> list[int]:
    try:
        return [int(part) for part in text.split(",")] if text else []
    except ValueError as error:
        raise UserError(f"--seeds must be whole numbers with commas between them, such as 0,1; got {text!r}") from error


@click.group(short_help="Many chains: arms and seeds from a file.")
def sweep() -> None:
    """Run, watch and collect the chains that a sweep file names (sweeps/*.yaml), each as a DVC experiment."""


@sweep.command()
@_file
@click.option("--executor", type=click.Choice(["local"]), default="local", show_default=True)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Chains at a time.")
@click.option("--only", multiple=True, metavar="ARM", help="Only this arm; may be repeated.")
@click.option("--seeds", metavar="0,1", help="Only these seeds.")
@click.option("--dry-run", is_flag=True, help="Print every chain and run nothing.")
def run(file: Path, executor: str, workers: int, only: tuple[str, ...], seeds: str | None, dry_run: bool) -> None:
    """Run the chains of FILE that are not there yet; each ends as the experiment SWEEP-ARM-SEED.

    Example: redifine sweep run sweeps/results.yaml --workers 2
    """
    from pipeline.sweep import plan

    chains = plan.chains(file, only, _seeds(seeds))
    if dry_run:
        for chain in chains:
            click.echo(f"{chain.name}\n    {chain.command()}")
        return
    from pipeline.sweep import local

    outcomes = local.run(Path(), chains, workers, click.echo)
    _summary(file, outcomes)


def _summary(file: Path, outcomes: list) -> None:
    """Counts; and for each chain that failed its last lines and how to run it again."""
    states = [outcome.state for outcome in outcomes]
    click.echo(", ".join(f"{states.count(state)} {state}" for state in ("done", "skipped", "failed", "stopped")))
    for outcome in outcomes:
        if outcome.state == "failed":
            chain = outcome.chain
            click.echo(f"\n{chain.name} failed:\n{outcome.detail}", err=True)
            click.echo(f"run it again: redifine sweep run {file} --only {chain.arm} --seeds {chain.seed}", err=True)
    if {"failed", "stopped"} & set(states):
        sys.exit(1)


@sweep.command()
@_file
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(file: Path, as_json: bool) -> None:
    """Show every chain of FILE: its state, the iteration reached, FID_1 and FID_k."""
    from pipeline.sweep import collect, plan

    standings = [collect.standing(Path(), chain) for chain in plan.chains(file)]
    if as_json:
        click.echo(json.dumps([standing.as_dict() for standing in standings], indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("arm", "seed", "state", "k", "FID_1", "FID_k", title=plan.load(file).title)
    for one in standings:
        k = "" if one.k is None else f"{one.k}/{one.iterations}"
        table.add_row(one.arm, str(one.seed), one.state, k, _number(one.fid_1), _number(one.fid_k))
    Console().print(table)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


@sweep.command(name="collect")
@_file
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Default: docs/results/SWEEP.csv.")
def collect_(file: Path, out: Path | None) -> None:
    """Write the measures of every finished chain of FILE as CSV, and a picture grid per arm beside it."""
    from pipeline.sweep import collect, plan

    out = out or collect.OUT / f"{file.stem}.csv"
    missing = collect.collect(Path(), plan.chains(file), out)
    click.echo(f"wrote {out}" + (f"; not run yet: {', '.join(chain.name for chain in missing)}" if missing else ""))


@click.command(short_help="The papers' figures, and the chains that make each.")
@click.argument("name", required=False)
def figure(name: str | None) -> None:
    """Print what one types to make the figure or sweep NAME; without NAME, list the figures.

    Example: redifine figure 12
    """
    from pipeline.sweep import paper, plan

    if name is None:
        for entry in paper.FIGURES:
            click.echo(f"{entry.name:15} {entry.what:55} {entry.sweep or entry.command or entry.where}")
        return
    found = paper.find(name)
    if found.sweep:
        _print_sweep(plan.FOLDER / f"{found.sweep}.yaml")
    for line in filter(None, (*found.command.split("; "), f"to see in {found.where}" if found.where else "")):
        click.echo(f"    {line}")


def _print_sweep(file: Path) -> None:
    from pipeline.sweep import paper, plan

    content, chains = plan.load(file), plan.chains(file)
    click.echo(f"{content.title} ({content.paper})\n{content.shows.strip()}\n")
    for chain in chains:
        click.echo(f"{chain.name}\n    {chain.command()}")
    click.echo("\nAll of them, and the comparison:")
    for line in paper.commands(file, chains):
        click.echo(f"    {line}")
