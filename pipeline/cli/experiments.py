"""The command `redifine exp`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import click

from pipeline.cli import fork_server
from pipeline.run import fork_client
from pipeline.versioning.dvc_command import run_dvc


@click.command(
    short_help="dvc exp, after checking that Git is ready.",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def exp(arguments: tuple[str, ...]) -> None:
    """`dvc exp ...`, after checking that Git is ready for it, and every value that -S would set in params.yaml.

    Example: redifine exp run -S cfg=2.5
    """
    from pipeline.versioning.experiment_checks import check_git, check_settings

    check_git(Path())
    check_settings(arguments)
    runs_stages = arguments[:1] == ("run",) and "--queue" not in arguments
    with fork_client.fork_server(Path(), fork_server.MODULE) if runs_stages else nullcontext():
        code = run_dvc(["exp", *arguments])
    sys.exit(code)
