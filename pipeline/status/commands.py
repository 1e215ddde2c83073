"""The command `redifine status`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command(short_help="Where the chain is, what is stale and why, time left.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def status(as_json: bool) -> None:
    """Ask DVC for the state of every stage; show FID so far, and how long the rest takes by the times measured so far.

    Works while `dvc repro` runs in another terminal.
    """
    from pipeline.paths import project_root
    from pipeline.status import chain, times, words

    root = project_root(Path().resolve())
    stages = chain.read_chain(root)
    fids = chain.read_fids(root, stages)
    rest = times.rest([stage.name for stage in stages if stage.state != "done"], times.read_times(root))
    if as_json:
        click.echo(json.dumps(words.as_json(stages, fids, rest), indent=2, sort_keys=True))
        return
    for line in (*words.table(stages, fids), *words.reasons(stages), words.how_long(rest)):
        click.echo(line)
