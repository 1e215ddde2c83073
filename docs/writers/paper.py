"""docs/paper.md: the papers' figures, each with the command that makes it."""

from __future__ import annotations

from pathlib import Path

from pipeline.studies.sweep import plan
from pipeline.studies.sweep.figures import paper_figures
from pipeline.studies.sweep.plan import Sweep

PAGE = Path("docs/paper.md")


def page(sweeps: dict[str, Sweep], folder: Path = plan.FOLDER) -> str:
    """Return docs/paper.md, from sweeps/figures.toml and the sweep files."""
    lines = [
        "# The papers' figures", "",
        "Each row is an experiment. `redifine sweep run FILE` runs its chains, three seeds an arm, over what params.yaml says;",
        "`redifine figure NAME` prints the chains and the `redifine compare` command. fig6-data-sets and fig22-sdxl name the",
        "presets of the paper's data sets themselves. For another figure on real data, write a preset first (`redifine preset",
        "pokemon`), put your images into raw and commit; sizes, epochs, updates and rates in those sweep files are the",
        "miniature's: copy a file and scale them to your preset.", "",
        "| figure | what | command | where it appears |", "|---|---|---|---|",
    ]  # fmt: skip
    for figure in paper_figures(folder):
        runs = [f"redifine sweep run sweeps/{figure.sweep}.yaml"] if figure.sweep else []
        typed = "<br>".join(f"`{text}`" for text in (*runs, *filter(None, figure.command.split("; "))))
        lines.append(f"| {figure.name} | {figure.what} | {typed} | {figure.where} |")
    lines += ["", "## The sweeps", "", "| sweep | title | paper | arms | shows |", "|---|---|---|---|---|"]
    for name, sweep in sweeps.items():
        arms = ", ".join(plan.arms(sweep))
        lines.append(f"| [{name}](../sweeps/{name}.yaml) | {sweep.title} | {sweep.paper} | {arms} | {sweep.shows.strip()} |")
    lines += ["", "Written by `python -m docs.writers`."]
    return "\n".join(lines) + "\n"


def all_sweeps(folder: Path = plan.FOLDER) -> dict[str, Sweep]:
    return {file.stem: plan.load(file) for file in sorted(folder.glob("*.yaml"))}
