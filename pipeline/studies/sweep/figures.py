"""Which figure of the papers is which sweep, and where its plot appears."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pipeline.core.errors import UserError
from pipeline.core.files import read_text
from pipeline.studies.sweep import plan
from pipeline.studies.sweep.plan import Chain


class PaperFigure(NamedTuple):
    """A figure or table: its name, what it is, the sweep that makes its chains (or none), a command, where to look."""

    name: str
    what: str
    sweep: str = ""
    command: str = ""
    where: str = ""


def paper_figures(folder: Path = plan.FOLDER) -> list[PaperFigure]:
    """Return the papers' figures and tables, which figures.toml beside the sweeps lists."""
    return [PaperFigure(**row) for row in tomllib.loads(read_text(folder / "figures.toml"))["figures"]]


def find(name: str, folder: Path = plan.FOLDER) -> PaperFigure:
    """Return the figure "Fig. 12" or "12", or one for the sweep of that name. Raises UserError that lists the sweeps."""
    asked = name.lower().removeprefix("figure").removeprefix("fig.").strip()
    for figure in paper_figures(folder):
        if asked == figure.name.lower().removeprefix("fig. "):
            return figure
    if not (folder / f"{name}.yaml").is_file():
        known = ", ".join(path.stem for path in sorted(folder.glob("*.yaml"))) or "none"
        raise UserError(f"no figure or sweep is called {name!r}; 'redifine figure' lists the figures, the sweeps are {known}")
    return PaperFigure(name, "", name)


def commands(file: Path, chains: Iterable[Chain], show: Iterable[str]) -> list[str]:
    """Return what one types to get a sweep's figures, with the measures that it shows; the names expand in the shell."""
    chains = list(chains)
    arms = ",".join(dict.fromkeys(chain.arm for chain in chains))
    seeds = ",".join(dict.fromkeys(str(chain.seed) for chain in chains))
    names = f"{file.stem}-{_braces(arms)}-{_braces(seeds)}"
    measures = (f"--metric {name}" for name in show if name != plan.COLLAPSE)
    return [f"redifine sweep run {file}", f"redifine sweep collect {file}", " ".join(["redifine compare", names, *measures])]


def _braces(text: str) -> str:
    return f"{{{text}}}" if "," in text else text
