"""The commands `redifine miniature build`, `evaluate` and `draw`."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.options import FOLDER, FiniteRange
from pipeline.cli.project_folder import GivenPath
from pipeline.miniature import PARTS


@click.group(short_help="The built-in small Stable Diffusion.")
def miniature() -> None:
    """The built-in small Stable Diffusion: draw its data, build it, evaluate it."""


@miniature.command()
@click.option("--out", type=FOLDER, default=Path("models/miniature"), show_default=True)
@click.option(
    "--scale", type=FiniteRange(min=0.0001), default=1.0, show_default=True, help="Share of the full number of steps."
)
@click.option("--part", type=click.Choice(PARTS), multiple=True, help="Only these parts.")
def build(out: Path, scale: float, part: tuple[str, ...]) -> None:
    """Train all parts from scratch and write them to OUT (about three hours on 2 CPU cores)."""
    from pipeline.miniature.build import build as run

    run(out, scale=scale, parts=part or None)


@miniature.command()
@click.option("--model", type=GivenPath(exists=True, file_okay=False), default=Path("models/miniature"))
@click.option("--count", type=click.IntRange(min=16), default=256, show_default=True, help="Held-out prompts.")
@click.option("--sheet", type=GivenPath(), default=Path("docs/miniature.png"), show_default=True)
def evaluate(model: Path, count: int, sheet: Path) -> None:
    """Measure the miniature on held-out captions and write evaluation.json and a contact sheet."""
    from pipeline.miniature.evaluate import evaluate as run

    click.echo(run(model, count, sheet))


@miniature.command()
@click.argument("folder", type=FOLDER)
@click.option("--count", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--style", default=None, help="One of the drawing styles; default: any but the narrow one.")
def draw(folder: Path, count: int, seed: int, style: str | None) -> None:
    """Draw captioned creatures into FOLDER, one .png and .txt each."""
    from pipeline.inputs.creature_drawing import write_folder

    write_folder(folder, count, seed, style)
