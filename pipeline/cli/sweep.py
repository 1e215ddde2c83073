"""`redifine sweep ...` and `redifine figure`: many chains, and which of the paper's figures they are."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from pipeline.cli import fork_server
from pipeline.cli.options import FiniteRange, git_remote_option, print_lines
from pipeline.cli.project_folder import GivenPath
from pipeline.core.errors import UserError

_file = click.argument("file", type=GivenPath(dir_okay=False))
_git_remote = git_remote_option("Where experiments go.")


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
@click.option("--executor", type=click.Choice(["local", "slurm"]), default="local", show_default=True)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Chains at a time (local).")
@click.option("--only", multiple=True, metavar="ARM", help="Only this arm; may be repeated.")
@click.option("--seeds", metavar="0,1", help="Only these seeds.")
@_git_remote
@click.option("--no-push", is_flag=True, help="Send nothing to the remotes.")
@click.option("--dry-run", is_flag=True, help="Print every job that would run and the hours that they take.")
def run(file: Path, executor: str, workers: int, only: tuple[str, ...], seeds: str | None, git_remote: str,
        no_push: bool, dry_run: bool) -> None:  # fmt: skip
    """Run the chains of FILE that are not there yet; each ends as the experiment SWEEP-ARM-SEED.

    Every iteration is sent to the DVC and Git remotes, where both are set. With --executor slurm, which needs them or
    --no-push, each chain is a job with what FILE asks for under `resources`, and the command returns at once: see
    `redifine sweep status`.

    Example: redifine sweep run sweeps/results.yaml --workers 2
    """
    from pipeline.studies.sweep import launch, plan, preview

    chains, resources = plan.chains(file, only, _seeds(seeds)), plan.load(file).resources
    if dry_run:
        print_lines(preview.lines(Path(), launch.chains_to_run(Path(), chains), resources, executor == "slurm"))
        if refused := launch.git_refusal(Path()):
            click.echo(f"but nothing would start: {refused}", err=True)
        return
    remote, modules = None if no_push else git_remote, {"program": "pipeline", "fork_server": fork_server.MODULE}
    if executor == "slurm":
        launch.submit_to_slurm(Path(), file, resources, chains, remote, click.echo, **modules)
    elif not launch.run_here(Path(), chains, workers, remote, click.echo, **modules):
        sys.exit(1)


@sweep.command()
@_file
@_git_remote
@click.option("--once", is_flag=True, help="Print the table once, and return.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(file: Path, git_remote: str, once: bool, as_json: bool) -> None:
    """Show every chain of FILE: state, iteration, stage, time left, FID so far; of one that failed, why.

    On a terminal the table is live until every chain has ended, or Ctrl-C. A clone in which nothing runs asks the Git
    remote, which hears of a chain at the end of every iteration.
    """
    from pipeline.studies.sweep import chain_status, plan, status_table

    chains = plan.chains(file)

    def read() -> list[chain_status.ChainStatus]:
        return chain_status.statuses_of(Path(), chains, git_remote)

    if as_json:
        click.echo(json.dumps([asdict(one) for one in read()], indent=2))
        return
    status_table.watch(read, plan.load(file).title, live=sys.stdout.isatty() and not once)


@sweep.command()
@_file
def cancel(file: Path) -> None:
    """End the chains of FILE that run or queue; what is finished of them stays, and `sweep run` goes on from there."""
    from pipeline.studies.sweep import launch, plan

    print_lines(launch.cancel(Path(), plan.chains(file)))


@sweep.command(name="collect")
@_file
@click.option("--out", type=GivenPath(dir_okay=False), help="Default: docs/results/SWEEP.csv.")
def collect_(file: Path, out: Path | None) -> None:
    """Write the measures of every finished chain of FILE as CSV, and an image grid per arm beside it."""
    from pipeline.studies.sweep import collect, plan

    out = out or collect.OUT / f"{file.stem}.csv"
    missing = collect.collect(Path(), plan.chains(file), out)
    click.echo(f"wrote {out}" + (f"; not run yet: {', '.join(chain.name for chain in missing)}" if missing else ""))


@sweep.command()
@click.option("--nodes", type=click.IntRange(min=2), default=2, show_default=True)
@click.option("--gpus", type=click.IntRange(min=0), default=8, show_default=True, help="Of each node.")
@click.option("--cpus", type=click.IntRange(min=1), help="Of each node; default: the cluster's.")
@click.option("--hours", type=FiniteRange(min=0, min_open=True), default=24.0, show_default=True)
@click.option("--partition", metavar="NAME")
def script(nodes: int, gpus: int, cpus: int | None, hours: float, partition: str | None) -> None:
    """Print a Slurm script that runs the chain of params.yaml with each M_k trained on several nodes (trainer: kohya).

    Example: redifine sweep script --nodes 2 --gpus 8 --partition gpu | sbatch
    """
    from pipeline.chain import params as parameters
    from pipeline.studies.sweep import multinode
    from pipeline.studies.sweep.resources import Resources

    resources = Resources(partition=partition, gpus=gpus, cpus=cpus, hours=hours)
    Path("logs").mkdir(exist_ok=True)  # Slurm fails without a word where the folder of its log is missing
    click.echo(multinode.script(Path().resolve(), parameters.load(), resources, nodes, Path(sys.executable)), nl=False)


@click.command(short_help="The papers' figures, and the chains that make each.")
@click.argument("name", required=False)
@click.option("--json", "json_", is_flag=True, help="List them as JSON.")
def figure(name: str | None, json_: bool) -> None:
    """Print what one types to make the figure or sweep NAME; without NAME, list the figures.

    Example: redifine figure 12
    """
    from pipeline.studies.sweep import figures, plan

    if json_ and name is not None:
        raise click.UsageError("--json lists the figures, so it takes no NAME")
    if json_:
        click.echo(json.dumps([entry._asdict() for entry in figures.paper_figures()], indent=2))
        return
    if name is None:
        for entry in figures.paper_figures():
            click.echo(f"{entry.name:15} {entry.what:55} {entry.sweep or entry.command or entry.where}")
        return
    found = figures.find(name)
    if found.sweep:
        _print_sweep(plan.FOLDER / f"{found.sweep}.yaml")
    for line in filter(None, (*found.command.split("; "), f"to see in {found.where}" if found.where else "")):
        click.echo(f"    {line}")


def _print_sweep(file: Path) -> None:
    from pipeline.studies.sweep import figures, plan

    content, chains = plan.load(file), plan.chains(file)
    click.echo(f"{content.title} ({content.paper})\n{content.shows.strip()}\n")
    for chain in chains:
        click.echo(f"{chain.name}\n    {chain.command()}")
    click.echo("\nAll of them, and the comparison:")
    for line in figures.commands(file, chains, content.show):
        click.echo(f"    {line}")
