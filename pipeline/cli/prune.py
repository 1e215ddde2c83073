"""The command `redifine prune`."""

from __future__ import annotations

import click

from pipeline.cli.options import print_lines
from pipeline.core.files import project_root


@click.command(short_help="Remove what iterations left that params.yaml no longer lists.")
@click.option("--force", is_flag=True, help="Also outputs that DVC's cache does not hold, which are lost then.")
def prune(force: bool) -> None:
    """Remove outputs and entries in dvc.lock of iterations that params.yaml no longer lists; DVC's cache and Git keep them.

    List them again under iterations, with the same parameters, and 'redifine repro' brings them back without computing.

    Example: redifine prune
    """
    from pipeline.versioning.leftovers import prune as remove

    left, kept = remove(project_root(), force)
    if left is None:
        click.echo("nothing is left over: every iteration that is here is listed in params.yaml")
        return
    removed = len(left.outputs) - len(kept)
    print_lines((
        f"removed {removed} outputs and {len(left.stages)} entries of dvc.lock, of k = {', '.join(map(str, left.ks))}",
        *(f"{path} stays: DVC's cache lacks it, or a file of it; move it away, or give --force to lose it" for path in kept),
    ))  # fmt: skip
