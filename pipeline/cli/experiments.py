"""What `redifine exp` does otherwise than DVC: `apply`, `restore`, and the end of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import print_lines
from pipeline.core.errors import UserError
from pipeline.core.files import project_root

if TYPE_CHECKING:
    from pipeline.versioning.settings_put_back import Before


@click.command("apply")
@click.argument("name")
@click.option("--force", is_flag=True, help="Lose what was changed here and is in no commit.")
def apply(name: str, force: bool) -> None:
    """Bring an experiment's files and, from DVC's cache, its outputs into the work tree; HEAD and later files stay.

    Unlike 'dvc exp apply' it refuses where an edit would be lost, and leaves sd-scripts alone.

    Example: redifine exp apply cfg2.5
    """
    from pipeline.provenance.share import applying

    print_lines(applying.apply(project_root(), name, force))


@click.command("restore")
def restore() -> None:
    """Bring back the files that a plain 'dvc exp apply' has put away."""
    from pipeline.versioning import put_away

    names = put_away.restore(project_root())
    click.echo(f"{', '.join(names)} brought back" if names else "nothing is put away that is not here, or in a commit")


COMMANDS = {"apply": apply, "restore": restore}

_ELSEWHERE = {"--queue", "--temp", "--run-all"}
"""Options of `exp run` with which nothing runs in the work tree."""


def run(arguments: Sequence[str], values: Mapping[str, Any]) -> int:
    """Run `dvc exp ARGUMENTS` and return its exit status; a run that fails leaves `values`, which it sets, as they were."""
    from pipeline.versioning.dvc_command import run_dvc
    from pipeline.versioning.settings_put_back import look
    from pipeline.versioning.submodules import keep_submodules

    here = "run" in arguments[:1] and not _ELSEWHERE & set(arguments)
    before = look(Path(), values) if here else None
    code = None
    try:
        code = run_dvc(["exp", *arguments])
    finally:
        keep_submodules(Path())
        if before and code != 0:
            _put_back(before)
    return code


def _put_back(before: Before) -> None:
    from pipeline.provenance.share.transfer import check_out_what_is_here
    from pipeline.versioning.settings_put_back import put_back

    try:
        changed = put_back(Path(), before)
        if changed:
            are = "are" if len(changed) > 1 else "is"
            click.echo(f"{' and '.join(map(str, changed))} {are} as before the experiment", err=True)
        check_out_what_is_here(Path(), force=False)  # DVC has removed the outputs of the stage that it ran
    except UserError as error:
        click.echo(f"not all is as before the experiment: {error}", err=True)
