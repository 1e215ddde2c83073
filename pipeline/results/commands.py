"""The command `redifine results`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Write docs/results.md from the study's tables.")
def results() -> None:
    """Write docs/results.md and its figures from docs/results/*.csv, which `redifine sweep collect` makes.

    The same tables give the same bytes. `make results` runs the study, collects it and ends with this.

    Example: redifine results
    """
    from pipeline.paths import project_root

    write(project_root(Path().resolve()))
    click.echo("docs/results.md")


def write(root: Path) -> None:
    """Both tables of the project at `root` -> figures and page. Raises UserError where one is missing or damaged."""
    from pipeline.results import figures, tables
    from pipeline.results.page import page
    from pipeline.storage import encode_png, read_text, write_bytes, write_text
    from pipeline.sweep import plan

    study, default = (tables.read_settings(root / tables.table_of(sweep)) for sweep in (tables.STUDY, tables.DEFAULT))
    here = {tables.STUDY.stem, tables.DEFAULT.stem}
    others = {path.stem: plan.load(path) for path in sorted((root / plan.FOLDER).glob("*.yaml")) if path.stem not in here}
    text = page(study, default, read_text(root / "docs/results_notes.md"), plan.load(root / tables.STUDY), others)
    write_bytes(root / "docs/first-screen.png", encode_png(figures.first_screen(root)))
    figures.draw(study, default, root)
    write_text(root / "docs/results.md", text)
