"""`python -m docs.writers`: write docs/paper.md from the sweep files, docs/results.md and its figures from docs/results/*.csv,
and the table of docs/measures.md from the measures.

The same files give the same bytes. `make results` runs the study, collects it and ends with this.
"""

from __future__ import annotations

import sys
from pathlib import Path

from docs.writers import figures, measures, paper, tables
from docs.writers.page import page
from pipeline.core.errors import UserError
from pipeline.core.files import project_root, read_text, write_bytes, write_text
from pipeline.core.images import encode_png
from pipeline.studies.sweep import plan


def write_results(root: Path) -> None:
    """Both tables of the project at `root` -> figures and page. Raises UserError where one is missing or damaged."""
    study, default = (tables.read_settings(root / tables.table_of(sweep)) for sweep in (tables.STUDY, tables.DEFAULT))
    here = {tables.STUDY.stem, tables.DEFAULT.stem}
    others = {path.stem: plan.load(path) for path in sorted((root / plan.FOLDER).glob("*.yaml")) if path.stem not in here}
    text = page(study, default, read_text(root / "docs/results_notes.md"), plan.load(root / tables.STUDY), others)
    write_bytes(root / "docs/first-screen.png", encode_png(figures.first_screen(root)))
    figures.draw(study, default, root)
    write_text(root / "docs/results.md", text)


def write_pages(root: Path) -> None:
    """Write these pages of the project at `root`."""
    write_text(root / measures.PAGE, measures.page(read_text(root / measures.PAGE)))
    write_text(root / paper.PAGE, paper.page(paper.all_sweeps(root / plan.FOLDER), root / plan.FOLDER))
    write_results(root)


if __name__ == "__main__":
    try:
        write_pages(project_root(Path().resolve()))
    except UserError as error:
        sys.exit(f"Error: {error}")
