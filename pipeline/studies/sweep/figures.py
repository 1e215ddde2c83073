"""Which figure of the papers is which sweep, and where its plot appears."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pipeline.core.errors import UserError
from pipeline.studies.sweep import plan
from pipeline.studies.sweep.plan import Chain

_SIMULATE = "redifine theory simulate"
_PLANE = "compare: collapse rate against FID_1"
_CURVES = "compare: measures over k"
_PICTURES = "report: each prompt over k; compare: images side by side"


class PaperFigure(NamedTuple):
    """A figure or table: its name, what it is, the sweep that makes its chains (or none), a command, where to look."""

    name: str
    what: str
    sweep: str = ""
    command: str = ""
    where: str = ""


_ALL_FACTORS = "ls sweeps/fig2-*.yaml | xargs -n 1 redifine sweep run"

FIGURES = (
    PaperFigure("Fig. 1a", "the loop", command="dvc dag", where="README.md, dvc.yaml"),
    PaperFigure("Fig. 1b", "one prompt over k, guidance 7.5", "fig6-cfg", where=_PICTURES),
    PaperFigure("Fig. 2", "collapse rate against FID_1: ten factors and guidance", "fig6-cfg", _ALL_FACTORS, _PLANE),
    PaperFigure("Fig. 3a", "prompts over k at three guidance scales", "fig6-cfg", where=_PICTURES),
    PaperFigure("Fig. 3b", "t-SNE of D_0..D_K of several chains", "fig6-cfg", where="compare: map of the features"),
    PaperFigure("Fig. 3c", "FID over k", "fig6-cfg", where=_CURVES),
    PaperFigure("Fig. 4a", "selection by two-sided truncation (a sketch)", command=_SIMULATE, where="docs/theory.md"),
    PaperFigure("Fig. 4b", "power over k and the model", "fig6-cfg",
                f"{_SIMULATE}; redifine theory fit", "theory/cfg.svg, fit.svg"),  # fmt: skip
    PaperFigure("Fig. 5", "ReDiFine over k", "fig6-cfg", where=_PICTURES),
    PaperFigure("Fig. 6", "guidance scales and ReDiFine on four data sets", "fig6-data-sets", where=_PLANE),
    PaperFigure("Fig. 7", "real images mixed in, with and without ReDiFine", "fig7-mixing-redifine", where=_PICTURES),
    PaperFigure("Table 1", "hyper-parameters", command="redifine preset pokemon", where="presets/pokemon.yaml"),
    PaperFigure("Table 2", "images and prompts", command="redifine prepare", where="data/prompts.jsonl; report"),
    *(PaperFigure(f"Fig. {n}", f"guidance scales on {name}", "fig6-data-sets", where=_PICTURES)
      for n, name in ((8, "Pokemon"), (9, "CelebA-1k"), (10, "Kumapi"), (11, "Butterfly"))),
    PaperFigure("Fig. 12", "size of the data set", "fig2-size", where=_PICTURES),
    PaperFigure("Fig. 13", "images per prompt", "fig2-images-per-prompt", where=_PICTURES),
    PaperFigure("Fig. 14", "real images mixed in, Pokemon", "fig2-mixing", where=_PLANE),
    PaperFigure("Fig. 15", "real images mixed in, CelebA-1k", "fig2-mixing", where=_PLANE),
    PaperFigure("Fig. 16", "prompt sets, Pokemon", "fig2-prompts", where=_PLANE),
    PaperFigure("Fig. 17", "prompt sets, CelebA-1k", "fig2-prompts", where=_PLANE),
    PaperFigure("Fig. 18", "U-Net or text encoder alone", "fig2-parts", where=_PLANE),
    PaperFigure("Fig. 19, steps", "diffusion steps", "fig2-steps", where=_PLANE),
    PaperFigure("Fig. 19, epochs", "epochs", "fig2-epochs", where=_PLANE),
    PaperFigure("Fig. 20, rates", "learning rates", "fig2-learning-rate", where=_PLANE),
    PaperFigure("Fig. 20, noise", "Gaussian noise on D_0", "fig2-noise", where=_PLANE),
    PaperFigure("Fig. 21", "CLIP skip", "fig2-clip-skip", where=_PLANE),
    PaperFigure("Fig. 22", "Stable Diffusion XL on four data sets", "fig22-sdxl", where=_PICTURES),
    PaperFigure("Fig. 23", "accumulated training sets, Pokemon", "fig23-accumulate", where=_CURVES),
    PaperFigure("Fig. 24", "accumulated training sets, CelebA-1k", "fig23-accumulate", where=_CURVES),
    PaperFigure("Fig. 25", "the model with mutations", command=_SIMULATE, where="theory/redifine.svg"),
    *(PaperFigure(f"Fig. {n}", f"ReDiFine at other scales on {name}", "fig26-redifine-cfg", where=_PICTURES)
      for n, name in ((26, "Pokemon"), (27, "CelebA-1k"), (28, "Kumapi"), (29, "Butterfly"))),
    PaperFigure("Fig. 30", "twelve iterations", "fig30-long", where=_CURVES),
    PaperFigure("Fig. 31", "several data sets in one", "fig31-union", where=_CURVES),
    PaperFigure("Fig. 32", "iterative retraining", "fig32-iterative", where=_CURVES),
    PaperFigure("Fig. 33", "FID, CLIP score, recall, SFD over k", "fig6-cfg", where=_CURVES),
    PaperFigure("Fig. 34", "condition drop alone, Pokemon", "fig34-condition-drop", where=_PICTURES),
    PaperFigure("Fig. 35", "condition drop alone, CelebA-1k", "fig34-condition-drop", where=_PICTURES),
    PaperFigure("Fig. 36", "guidance schedule alone, Pokemon", "fig36-schedule", where=_PICTURES),
    PaperFigure("Fig. 37", "guidance schedule alone, CelebA-1k", "fig36-schedule", where=_PICTURES),
    PaperFigure("Fig. 38a", "density of the last latents", "fig6-cfg", where="report: latents"),
    PaperFigure("Fig. 38b", "Diff norms over diffusion steps", "fig6-cfg", where="report: Diff norms"),
    PaperFigure("Fig. 39", "radial and angular power spectra", "fig6-cfg", where="report: spectra"),
    PaperFigure("Fig. 40", "fingerprints", "fig6-cfg", where="report: fingerprints"),
    PaperFigure("second paper", "selection; entropy and generalisation", "selection", where=f"report: memorisation; {_CURVES}"),
)  # fmt: skip


def find(name: str, folder: Path = plan.FOLDER) -> PaperFigure:
    """Return the figure "Fig. 12" or "12", or one for the sweep of that name. Raises UserError that lists the sweeps."""
    asked = name.lower().removeprefix("figure").removeprefix("fig.").strip()
    for figure in FIGURES:
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
