"""The command `redifine lineage`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.project_folder import PathOrName
from pipeline.core.errors import UserError

if TYPE_CHECKING:
    from pipeline.provenance.lineage.runs import RecordedRun

_ITERATION = re.compile(r"(?:([DMT])_)?(\d{1,6})", re.ASCII)
_WIDE = 1000


@click.command(short_help="Where an iteration, image or LoRA comes from.")
@click.argument("what", type=PathOrName(), required=False, metavar="[K | D_K | M_K | T_K | FILE]")
@click.option("--json", "as_json", is_flag=True, help="Print a W3C PROV document (PROV-JSON) instead of a tree.")
def lineage(what: str | None, as_json: bool) -> None:
    """From D_K (or M_K, T_K, a stray .png or LoRA .safetensors) back to D_0, M_0, code, parameters and seeds.

    Without an argument: of the last D_K. A stray file is looked up in this work tree, then in every run that Git and
    DVC's experiments hold.

    Example: redifine lineage ~/Downloads/00012.png
    """
    from pipeline.core.files import project_root
    from pipeline.provenance.lineage.graph import trace
    from pipeline.provenance.lineage.identify import find_matches, read_unknown_file
    from pipeline.provenance.lineage.prov_document import prov_document, to_json
    from pipeline.provenance.lineage.runs import work_tree
    from pipeline.provenance.lineage.text_tree import text_tree
    from pipeline.versioning.leftovers import check_in_chain

    root = project_root()
    file = match = None
    if what is None or _ITERATION.fullmatch(what):
        run = work_tree(root)
        if what and (named := _ITERATION.fullmatch(what)):
            check_in_chain(root, int(named[2]))
        target = _target(run, what)
    else:
        file = read_unknown_file(Path(what))
        matches = find_matches(file, root)
        match = matches[0]
        run, target = match.run, match.target
        for other in matches[1:]:
            click.echo(f"Note: {other.target} of {other.run.name} has it too", err=True)
    found = trace(run, target, root)
    if as_json:
        click.echo(to_json(prov_document(found, file, match)))
        return
    from rich.console import Console

    # A file or a pipe has no width at which lines would have to break.
    Console(width=None if sys.stdout.isatty() else _WIDE).print(text_tree(found, file, match))


def _target(run: RecordedRun, what: str | None) -> str:
    """The path that K, D_K, M_K or T_K names; the last D_k for None. Raises UserError when there is no record."""
    recorded = {item.path for stage in run.stages.values() for item in stage.outs}
    drawn = sorted(int(path.removeprefix("data/D_")) for path in recorded if path.startswith("data/D_"))
    if not drawn:
        raise UserError(
            "dvc.lock records no D_k, so there is no lineage to tell; run 'dvc repro', or get a run with its dvc.lock"
        )
    named = _ITERATION.fullmatch(what) if what else None
    kind, k = (named[1] or "D", int(named[2])) if named else ("D", drawn[-1])
    path = {"D": f"data/D_{k}", "M": f"models/M_{k}", "T": f"data/T_{k}.jsonl"}[kind]
    if path not in recorded:
        raise UserError(f"dvc.lock records no {path}; its iterations are {drawn[0]} to {drawn[-1]}")
    return path
