"""The command line `redifine`: all its commands, and how each of their errors ends."""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from pipeline import warm
from pipeline.base.commands import base
from pipeline.base.names import not_here
from pipeline.captions.commands import caption
from pipeline.commands import STAGES
from pipeline.compare.commands import compare
from pipeline.completion import completion
from pipeline.convert import convert
from pipeline.datasets.commands import dataset
from pipeline.doctor.commands import doctor
from pipeline.dvc_command import run_dvc
from pipeline.errors import INTERRUPTED, UserError, disk_sentence, is_out_of_memory, printable
from pipeline.lineage.commands import lineage
from pipeline.miniature.commands import miniature
from pipeline.process import die_with_parent
from pipeline.repro import repro
from pipeline.results.commands import results
from pipeline.share.commands import COMMANDS as SHARING
from pipeline.status.commands import status
from pipeline.status.times import timed
from pipeline.submodule import remove_dangling_link
from pipeline.sweep.commands import figure, sweep
from pipeline.theory.commands import theory
from pipeline.verify.commands import verify

_DVC_STAGE = "DVC_STAGE"


_SECTIONS = {
    "The chain": ("repro", "exp", "status", "preset", "set"),
    "Its iterations, shared and checked": ("share", "get", "ls", "remote", "export", "import", "lineage", "verify"),
    "Studies": ("compare", "sweep", "figure", "theory", "results"),
    "Models and data": ("base", "convert", "dataset", "caption", "miniature"),
    "This machine": ("doctor", "completion"),
}


class _Group(click.Group):
    """Lists its commands by what they are for; prints a UserError as one sentence and exits with 2."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        for title, names in _SECTIONS.items():
            formatter.write(f"{title}:\n")
            with formatter.indentation():
                formatter.write_dl([(f"{name:10}", self.commands[name].get_short_help_str(100)) for name in names])
        rest = [name for name in self.commands if not any(name in names for names in _SECTIONS.values())]
        formatter.write(f"Single stages, as DVC runs them:\n  {', '.join(rest)}\n")

    def invoke(self, context: click.Context) -> Any:
        try:
            remove_dangling_link(Path())
            with timed(os.environ.get(_DVC_STAGE)):
                return super().invoke(context)
        except UserError as error:
            click.echo(f"Error: {printable(str(error))}", err=True)
            context.exit(2)
        except KeyboardInterrupt:
            click.echo("Stopped: what is finished is kept; the same command goes on from there", err=True)
            context.exit(INTERRUPTED)
        except OSError as error:
            if (sentence := disk_sentence(error)) is None:
                raise
            click.echo(f"Error: {printable(sentence)}", err=True)
            context.exit(2)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            click.echo("Error: the memory is used up; lower what was set last (batch, rank, resolution)", err=True)
            context.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="redifine", prog_name="redifine")
def main() -> None:
    """Finetune a text-to-image model on its own output, again and again, and measure how it collapses.

    The whole chain runs by `redifine repro`, or `dvc repro`.
    """
    if _DVC_STAGE in os.environ:
        die_with_parent()


@main.command(short_help="Write named sets of values into params.yaml.")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--json", "json_", is_flag=True, help="List them as JSON.")
def preset(names: tuple[str, ...], json_: bool) -> None:
    """Write the defaults with the presets NAME... on top into params.yaml, keeping its comments; without NAME, list them.

    A later preset wins over an earlier one. What params.yaml held before does not count: `redifine preset baseline` undoes
    every other preset. Prints what changed.

    Example: redifine preset pokemon redifine
    """
    from pipeline import presets

    if json_ and names:
        raise click.UsageError("--json lists the presets, so it takes no NAME")
    if json_:
        click.echo(json.dumps(presets.available(), indent=2))
        return
    if not names:
        for found, purpose in presets.available().items():
            click.echo(f"{found:24} {purpose}")
        return
    changes = presets.apply(names)
    for line in [*presets.told(changes), *not_here({key: after for key, (_, after) in changes.items()}, Path())]:
        click.echo(line)


@main.command(name="set", short_help="Write single values into params.yaml.")
@click.argument("assignments", nargs=-1, required=True, metavar="KEY=VALUE...")
def set_values(assignments: tuple[str, ...]) -> None:
    """Write single values into params.yaml, keeping its comments and every other value. Prints what changed.

    Example: redifine set cfg=2.5 seed=1
    """
    from pipeline import presets

    for line in presets.told(presets.assign(presets.parse_assignments(assignments))):
        click.echo(line)


@main.command(
    short_help="dvc exp, after checking that Git is ready.",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def exp(arguments: tuple[str, ...]) -> None:
    """`dvc exp ...`, after checking that Git is ready for it, and every value that -S would set in params.yaml.

    Example: redifine exp run -S cfg=2.5
    """
    from pipeline.experiments import check_git, check_settings

    check_git(Path())
    check_settings(arguments)
    runs_stages = arguments[:1] == ("run",) and "--queue" not in arguments
    with warm.begun(Path()) if runs_stages else nullcontext():
        code = run_dvc(["exp", *arguments])
    sys.exit(code)


for command in (
    base,
    caption,
    compare,
    completion,
    convert,
    dataset,
    doctor,
    figure,
    lineage,
    miniature,
    repro,
    results,
    status,
    sweep,
    theory,
    verify,
    *SHARING,
    *STAGES,
):
    main.add_command(command)
