"""The command `redifine status`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from pipeline.cli.options import print_lines


@click.command(short_help="Where the chain is, what is stale and why, time left.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def status(as_json: bool) -> None:
    """Ask DVC for the state of every stage; show FID so far, and how long the rest takes by the times measured so far.

    Works while `dvc repro` runs in another terminal.
    """
    from pipeline.chain import params as parameters
    from pipeline.core.files import project_root
    from pipeline.inputs.base_models.identity import changed_vae
    from pipeline.run.status import stage_states, text, times
    from pipeline.run.status.killed_experiment import leftovers
    from pipeline.versioning.cache_objects import describe_touched
    from pipeline.versioning.leftovers import find_leftovers
    from pipeline.versioning.put_away import put_away

    root = project_root()
    # DVC takes any value, and shows a state that no stage could reach.
    params = parameters.load(Path(os.path.relpath(root / parameters.FILE)))
    stages = stage_states.read_stages(root)
    fids = stage_states.read_fids(root, stages)
    remaining = times.remaining(
        [stage.name for stage in stages if stage.state not in stage_states.SETTLED], times.read_times(root)
    )
    left = leftovers(root)
    of_earlier = find_leftovers(root)
    touched = describe_touched(root)
    vae = changed_vae(params.model, params.vae, root)
    if as_json:
        shown = text.as_json(stages, fids, remaining) | {"killed_experiment": "; ".join(left) if left else None}
        shown["damaged_cache"] = touched
        shown["changed_vae"] = str(vae) if vae else None
        shown["leftovers"] = list(of_earlier.ks) if of_earlier else []
        click.echo(json.dumps(shown, indent=2, sort_keys=True))
        return
    if left:
        click.echo("; ".join(left))
    if away := put_away(root):
        click.echo(str(away))
    if touched:
        click.echo(touched)
    if vae:
        click.echo(str(vae))
    absent = any(stage.state == "absent" for stage in stages)
    left_to_do = [] if vae and not remaining.counts else [text.describe_remaining(remaining, absent)]
    print_lines((*text.table(stages, fids), *text.reasons(stages), *left_to_do, *([str(of_earlier)] if of_earlier else [])))
