"""`redifine dataset`: which data sets are known, and what is wrong with a folder of one."""

from __future__ import annotations

from pathlib import Path

import click


@click.group(short_help="The papers' data sets: list them, check a raw folder.")
def dataset() -> None:
    """The papers' data sets as people get them: list them, check a raw folder. docs/datasets.md says where to get them."""


@dataset.command(name="list")
def list_() -> None:
    """Name, pictures, contents and source of every data set that is known."""
    from pipeline.datasets.catalogue import DATASETS

    for known in DATASETS.values():
        click.echo(f"{known.name:10} {known.images or 'any':>5}  {known.what:46} {known.source}")


@dataset.command()
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--strict", is_flag=True, help="End with an error when there is any problem.")
def check(name: str, folder: Path, strict: bool) -> None:
    """Read the raw data set NAME in FOLDER, open every picture and list all that is wrong; nothing is written.

    Example: redifine dataset check butterfly downloads/leedsbutterfly
    """
    from pipeline.datasets import catalogue, items, select
    from pipeline.progress import Progress

    known = catalogue.dataset(name)
    found = known.read(folder)
    with Progress("pictures", len(found.items)) as progress:
        chosen, problems = select.choose(found, seen=progress.advance)
    for line in (*found.notes, *(str(problem) for problem in sorted(problems))):
        click.echo(line)
    expected = f", the paper has {known.images}" if known.images and known.images != len(chosen) else ""
    click.echo(f"{len(chosen)} usable pictures of {len(found.items)}{expected}; {len(problems)} problem(s)")
    if strict:
        items.refuse(problems, folder)
