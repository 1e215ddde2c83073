"""The command line `redifine`: all its commands, and how each of their errors ends."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import click

from pipeline.cli.base import base
from pipeline.cli.captions import caption
from pipeline.cli.compare import compare
from pipeline.cli.convert import convert
from pipeline.cli.dataset import dataset
from pipeline.cli.doctor import doctor
from pipeline.cli.finetune import finetune
from pipeline.cli.lineage import lineage
from pipeline.cli.miniature import miniature
from pipeline.cli.parameters import preset, set_values
from pipeline.cli.project_folder import at_project_root
from pipeline.cli.prune import prune
from pipeline.cli.repro import exp, repro
from pipeline.cli.share import export, get, import_, ls, remote, share
from pipeline.cli.stages import STAGES
from pipeline.cli.status import status
from pipeline.cli.sweep import figure, sweep
from pipeline.cli.theory import theory
from pipeline.cli.verify import verify
from pipeline.core.errors import INTERRUPTED, UserError, disk_sentence, is_out_of_memory, printable
from pipeline.core.process import die_with_parent, use_utf8
from pipeline.versioning.git import remove_dangling_link
from pipeline.versioning.submodules import is_experiments_copy, stand_in_for_submodules

_DVC_STAGE = "DVC_STAGE"

COMPLETION_PLACES = {
    "bash": "redifine completion bash > ~/.local/share/bash-completion/completions/redifine",
    "zsh": "redifine completion zsh > ~/.zfunc/_redifine, with 'fpath+=~/.zfunc' before 'compinit' in ~/.zshrc",
    "fish": "redifine completion fish > ~/.config/fish/completions/redifine.fish",
}


class _Group(click.Group):
    """Lists its commands by what they are for; prints a UserError as one sentence and exits with 2."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **settings: Any) -> Any:
        if args is None:  # the program, not a call of it in this process
            use_utf8()
        return super().main(args, *rest, **settings)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        for title, commands in _SECTIONS.items():
            formatter.write(f"{title}:\n")
            with formatter.indentation():
                formatter.write_dl([(f"{command.name:10}", command.get_short_help_str(100)) for command in commands])
        names = ", ".join(str(command.name) for command in STAGES)
        formatter.write(f"Single stages, as DVC runs them:\n  {names}\n")

    def invoke(self, context: click.Context) -> Any:
        try:
            with at_project_root():
                remove_dangling_link(Path())
                if _DVC_STAGE in os.environ and is_experiments_copy(Path()):
                    stand_in_for_submodules(Path())
                return super().invoke(context)
        except UserError as error:
            sentence = str(error)
        except KeyboardInterrupt:
            click.echo("Stopped: what is finished is kept; the same command goes on from there", err=True)
            context.exit(INTERRUPTED)
        except OSError as error:
            if (found := disk_sentence(error)) is None:
                raise
            sentence = found
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            sentence = "out of memory; lower what was set last (batch, rank, resolution)"
        click.echo(f"Error: {printable(sentence)}", err=True)
        context.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="redifine", prog_name="redifine")
def main() -> None:
    """Finetune a text-to-image model on its own output, again and again, and measure how it collapses.

    The whole chain runs by `redifine repro`, or `dvc repro`.
    """
    if _DVC_STAGE in os.environ:
        die_with_parent()


@click.command(short_help="Script that lets bash, zsh or fish complete.")
@click.argument("shell", type=click.Choice(tuple(COMPLETION_PLACES)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete commands and options; its first line says where to put it.

    Example: redifine completion fish > ~/.config/fish/completions/redifine.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"this version of click knows no {shell}")
    script = kind(context.find_root().command, {}, "redifine", "_REDIFINE_COMPLETE").source().strip()
    # zsh looks for #compdef in the very first line.
    first, _, rest = script.partition("\n")
    note = f"# Put this in place with: {COMPLETION_PLACES[shell]}"
    click.echo(f"{first}\n{note}\n{rest}" if first.startswith("#compdef") else f"{note}\n{script}")


_SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "The chain": (repro, exp, status, preset, set_values, prune),
    "Its iterations, shared and checked": (share, get, ls, remote, export, import_, lineage, verify),
    "Studies": (compare, sweep, figure, theory),
    "Models and data": (base, convert, dataset, caption, finetune, miniature),
    "This machine": (doctor, completion),
}

for command in chain(STAGES, *_SECTIONS.values()):
    main.add_command(command)
