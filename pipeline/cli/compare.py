"""The command `redifine compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import print_notes
from pipeline.cli.project_folder import GivenPath
from pipeline.core.errors import UserError

if TYPE_CHECKING:
    from pipeline.studies.compare.groups import Setting

REMEDY = "redifine"


@click.command(short_help="Runs side by side: trade-off, curves, images.")
@click.argument("revisions", nargs=-1, metavar="REV...")
@click.option("--experiments", is_flag=True, help="All experiments of HEAD, besides the revisions named.")
@click.option("--out", type=GivenPath(dir_okay=False), default=Path("compare/index.html"), show_default=True)
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="Draw this metric over k; may be repeated.")
@click.option("--group-by", multiple=True, default=("seed",), show_default=True, metavar="PARAM",
              help="Average over runs that differ in this parameter alone; may be repeated.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON and write no page.")
def compare(
    revisions: tuple[str, ...], experiments: bool, out: Path, metrics: tuple[str, ...], group_by: tuple[str, ...], as_json: bool
) -> None:
    """Compare finished chains as one page: each REV is a commit, branch, tag, DVC experiment, or "workspace".

    Runs that differ in the seed alone are one setting, with mean and 95 % interval. Everything is read from Git and DVC.

    Example: redifine compare main cfg2.5 fuzzy-oxen workspace
    """
    from pipeline.core.files import project_root, write_text
    from pipeline.studies.compare.page import draw_comparison, render_page, table_values

    settings, notices = collect(revisions, experiments, group_by, project_root())
    if as_json:
        click.echo(json.dumps({"settings": table_values(settings), "notices": notices}, indent=2, sort_keys=True))
        return
    comparison = draw_comparison(settings, notices, metrics)
    write_text(out, render_page(comparison))
    print_notes(*comparison.notices)
    click.echo(f"{len(settings)} settings in {out}")


def collect(
    names: tuple[str, ...], experiments: bool, averaged: tuple[str, ...], root: Path, one_scale: bool = True
) -> tuple[list[Setting], list[str]]:
    """Return settings of the revisions `names` of the project at `root`, and what a reader must know.

    Raises UserError for no or unknown revisions, runs without metrics, and, where FIDs must share `one_scale`, runs measured
    with different features.
    """
    from pipeline.chain.params import Params
    from pipeline.studies.compare.groups import check_features, group_runs, warnings, without_duplicates
    from pipeline.studies.compare.runs import read_run
    from pipeline.versioning.revisions import experiments_of_head, open_revisions

    for key in averaged:
        if key not in Params.model_fields:
            raise UserError(f"--group-by {key} is no parameter of params.yaml; the usual one is seed")
    wanted = [*names, *(experiments_of_head(root) if experiments else [])]
    if not wanted:
        raise UserError(
            "name at least one revision: a commit, branch, tag, DVC experiment or 'workspace'; or give --experiments"
        )
    found = [read_run(revision, str(revision)) for revision in open_revisions(wanted, root)]
    runs, duplicates = without_duplicates(found, averaged)
    if one_scale:
        check_features(runs)
    return group_runs(runs, averaged, _presets(root)), duplicates + warnings(runs)


def _presets(root: Path) -> dict[str, dict[str, Any]]:
    """Return the preset that earns a name of its own."""
    from ruamel.yaml import YAML

    from pipeline.chain.presets import FOLDER

    path = root / FOLDER / f"{REMEDY}.yaml"
    return {"ReDiFine": YAML(typ="safe").load(path) or {}} if path.is_file() else {}
