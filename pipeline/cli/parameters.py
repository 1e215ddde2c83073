"""The commands `redifine preset` and `redifine set`, which write params.yaml."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.cli.options import print_lines
from pipeline.inputs.missing import missing_inputs


@click.command(short_help="Write named sets of values into params.yaml.")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--json", "json_", is_flag=True, help="List them as JSON.")
def preset(names: tuple[str, ...], json_: bool) -> None:
    """Write the defaults with the presets NAME... on top into params.yaml, keeping its comments; without NAME, list them.

    A later preset wins over an earlier one. What params.yaml held before does not count: `redifine preset baseline` undoes
    every other preset. Prints what changed.

    Example: redifine preset pokemon redifine
    """
    from pipeline.chain import presets

    if json_ and names:
        raise click.UsageError("--json lists the presets, so it takes no NAME")
    if json_:
        click.echo(json.dumps(presets.available(), indent=2))
        return
    if not names:
        for found, purpose in presets.available().items():
            click.echo(f"{found:24} {purpose}")
        return
    changes = presets.write_presets(names)
    missing = missing_inputs({key: after for key, (_, after) in changes.items()}, Path())
    print_lines((*presets.describe_changes(changes), *missing))


@click.command(name="set", short_help="Write single values into params.yaml.")
@click.argument("assignments", nargs=-1, required=True, metavar="KEY=VALUE...")
def set_values(assignments: tuple[str, ...]) -> None:
    """Write single values into params.yaml, keeping its comments and every other value. Prints what changed.

    Example: redifine set cfg=2.5 seed=1
    """
    from pipeline.chain import presets

    print_lines(presets.describe_changes(presets.assign(presets.parse_assignments(assignments))))
