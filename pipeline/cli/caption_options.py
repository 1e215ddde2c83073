"""Options of the commands that caption a raw data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pipeline.cli.options import FiniteRange, device_option

_FOLDER = click.Path(path_type=Path, file_okay=False)
_SCORE = FiniteRange(0.1, 1.0)

_CAPTIONING = (
    click.option("--blip", type=_FOLDER, help="A BLIP in transformers' layout."),
    click.option("--tagger", type=_FOLDER, help="A WD v1.4 tagger: model.onnx and selected_tags.csv."),
    click.option(
        "--form", type=click.Choice(["full", "tags", "short", "long"]), default="full", show_default=True, help="Prompt set."
    ),
    click.option("--all-forms", is_flag=True, help="Also ask BLIP for the short and long texts, for prompt sets to come."),
    click.option("--parts", metavar="LIST", help="Parts in order, of blip,style,tags,name,description,attributes."),
    click.option("--style", metavar="TEXT", help="Words that name the style; default: the data set's."),
    click.option("--window", metavar="LEAST-MOST", help="Length of BLIP's text; default: the data set's."),
    click.option("--unit", type=click.Choice(["words", "tokens"]), default="words", show_default=True, help="Of the window."),
    click.option("--threshold", type=_SCORE, default=0.35, show_default=True, help="Score from which a general tag counts."),
    click.option("--character-threshold", type=_SCORE, default=0.85, show_default=True, help="The same, for characters."),
    click.option("--overrides", type=click.Path(path_type=Path, dir_okay=False), help="CSV of corrections by hand."),
    click.option("--size", type=click.IntRange(0, 4096), help="Images become squares of this size; 0: copied as they are."),
    click.option(
        "--fit", type=click.Choice(["crop", "pad", "squash"]), default="crop", show_default=True, help="How, with --size."
    ),
    click.option("--count", type=click.IntRange(min=1), help="Draw this many images; default for celeba: 1000."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the draw."),
    click.option("--batch", type=click.IntRange(min=1), default=8, show_default=True, help="Images captioned at a time."),
    click.option("--overwrite", is_flag=True, help="Also captions that were edited by hand."),
    click.option(
        "--sheet", type=click.Path(path_type=Path, dir_okay=False), default=Path("captions/index.html"), show_default=True
    ),
    click.option("--tokenizer", type=_FOLDER, help="CLIP tokenizer that counts tokens; default: that of params.yaml's model."),
    device_option,
)


def captioning(function: Any) -> Any:
    """The options of `redifine caption`, but for the data set and the folder to write."""
    for option in reversed(_CAPTIONING):
        function = option(function)
    return function
