"""`redifine dataset`: which data sets are known, what is wrong with a folder of one, and the way from it to D_0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.captions import caption_set, captioning
from pipeline.cli.options import FOLDER, print_lines
from pipeline.cli.project_folder import PathOrName
from pipeline.core.errors import UserError

if TYPE_CHECKING:
    from pipeline.chain.params import Params


@click.group(short_help="The papers' data sets: list, check, fetch, make D_0.")
def dataset() -> None:
    """The papers' data sets as people get them, and any other: docs/datasets.md says where to get them."""


@dataset.command(name="list", short_help="The data sets that are known by name.")
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def list_(json_: bool) -> None:
    """Name, images, contents and source of every data set that is known."""
    from pipeline.inputs.datasets.catalogue import DATASETS

    if json_:
        facts = ("name", "images", "what", "source")
        click.echo(json.dumps([{fact: getattr(known, fact) for fact in facts} for known in DATASETS.values()], indent=2))
        return
    for known in DATASETS.values():
        click.echo(f"{known.name:10} {known.images or 'any':>5}  {known.what:46} {known.source}")


@dataset.command(short_help="List all that is wrong with a raw folder.")
@click.argument("name")
@click.argument("folder", type=FOLDER)
@click.option("--strict", is_flag=True, help="End with an error when there is any problem.")
def check(name: str, folder: Path, strict: bool) -> None:
    """Read the raw data set NAME in FOLDER, open every image and caption and list all that is wrong; nothing is written.

    For `folder` this is the chain's own reading, at the resolution and fit of params.yaml: what it finds, prepare finds.

    Example: redifine dataset check butterfly downloads/leedsbutterfly
    """
    from pipeline.core.progress import Progress
    from pipeline.inputs.datasets import caption_files, catalogue, folder_contents, items, selection

    known = catalogue.dataset(name)
    if known.name == "folder":
        _check_own(folder, strict)
        return
    found = known.read(folder)
    with Progress("images", len(found.items)) as progress:
        chosen, problems = selection.select_images(found, seen=progress.advance)
    problems += caption_files.caption_problems(one.item.path for one in chosen)
    print_lines((*found.notices, *folder_contents.litter_notice(found.litter), *sorted(problems)))
    expected = f", the paper has {known.images}" if known.images and known.images != len(chosen) else ""
    click.echo(f"{len(chosen)} usable images of {len(found.items)}{expected}; {len(problems)} problem(s)")
    if strict:
        items.require_no_problems(problems, folder)


def _check_own(folder: Path, strict: bool) -> None:
    """Read a folder as the chain does, with params.yaml's resolution, fit and prompt set where there is one."""
    from pipeline.chain import params as parameters
    from pipeline.inputs import caption_lengths, raw_folder
    from pipeline.inputs.datasets.items import listed

    params = parameters.load() if parameters.FILE.is_file() else None
    settings = (params.resolution, None, params.fit, params.prompt_form) if params else (1,)
    found = raw_folder.examine_folder(folder, *settings)
    cut: list[str] = []
    if params:
        captions = [(image.name, image.caption) for image in found.images]
        cut = caption_lengths.cut_captions(params.model, captions, params.max_token_length)
    print_lines((*found.notices, *found.left_out, *cut, *(f"{copy}: both are kept" for copy in found.copies)))
    at = f" at {params.resolution}x{params.resolution}, as prepare takes them" if params else ""
    short = 0 if params and params.cut_captions else len(cut)
    click.echo(f"{len(found.images)} usable images{at}; {len(found.left_out) + short} problem(s)")
    if strict:
        if found.left_out:
            raise UserError(
                f"{folder} has {len(found.left_out)} problem(s), fix them or leave out --strict: {listed(found.left_out)}"
            )
        raw_folder.check_count(folder, found, None)
        if params and not params.cut_captions:
            caption_lengths.require_uncut(cut, params.max_token_length)


@dataset.command(short_help="Raw folder -> captions, D_0 and P.")
@click.argument("name")
@click.argument("raw", type=FOLDER)
@click.option("--out", type=FOLDER, help="Folder for images, captions and parts.jsonl; default: raw/NAME.")
@click.option(
    "--strict/--no-strict", default=None, help="Stop at any problem, or at none; also the chain's `strict`, which else stays."
)
@captioning
def prepare(raw: Path, **options: Any) -> None:
    """From the raw data set NAME in RAW to D_0 and P: caption it, point params.yaml at it, run the stage prepare.

    NAME is one of `redifine dataset list`. For `folder`, images of one's own, with .txt or .caption files beside them, in
    kohya's 10_name folders, or with Hugging Face's metadata.jsonl, .csv or .parquet are read where they lie.

    Example: redifine dataset prepare butterfly downloads/leedsbutterfly --blip models/base/blip
    """
    images = prepare_chain(raw, options)
    click.echo(f"{images} images in data/D_0, their prompts in data/prompts.jsonl; go on with dvc repro")


@dataset.command(short_help="A data set of the hub -> images, captions.")
@click.argument("source", type=PathOrName(), metavar="ID|FOLDER")
@click.option("--out", type=FOLDER, default=Path("raw/hub"), show_default=True, help="Folder for images and captions.")
@click.option("--revision", metavar="NAME", help="Branch, tag or commit of the hub; default: main.")
@click.option("--split", default="train", show_default=True, help="Which part of the data set.")
@click.option("--image", metavar="COLUMN", help="Column of the images; default: the one that holds images.")
@click.option("--caption", metavar="COLUMN", help="Column of the captions; default: text, caption or prompt. '' for none.")
@click.option("--strict", is_flag=True, help="Write nothing when any row has a problem.")
def fetch(source: str, out: Path, **options: Any) -> None:
    """Fetch the data set ID of the Hugging Face hub, or take it from FOLDER, and write images with captions beside them.

    Tables (parquet), and folders of images with metadata.jsonl, .csv or .parquet, or captions beside them, are read.

    Example: redifine dataset fetch lambdalabs/pokemon-blip-captions --out raw/blip
    """
    from pipeline.inputs.datasets.hub import fetch as run

    fetched = run(source, out, **options)
    print_lines((*fetched.notices, *fetched.problems))
    click.echo(f"{fetched.images} images in {out}; {len(fetched.problems)} problem(s)")


def prepare_chain(raw: Path, options: dict[str, Any]) -> int:
    """Caption the raw set, point params.yaml at it and write D_0, P and M_0's record; return the number of images.

    `options` are those of `redifine caption`. Raises UserError as both do; params.yaml is written between them.
    """
    from pipeline.chain import params as parameters
    from pipeline.chain import presets
    from pipeline.chain.params import View
    from pipeline.chain.paths import Layout
    from pipeline.core.json_files import read_jsonl
    from pipeline.diffusion.judgement.usable import require_usable
    from pipeline.inputs.missing import missing_inputs
    from pipeline.prepare import stage

    params = parameters.load()
    # Before the hours that captions take, not after them.
    for sentence in missing_inputs({"model": params.model, "vae": params.vae}, Path()):
        raise UserError(sentence)
    require_usable(params.model, params.vae)
    chosen = _with_defaults(options, params)
    if _is_captioned(raw, chosen):
        click.echo(f"{raw} is read where it lies; --out would write its images and captions into one folder")
    else:
        caption_set(raw, chosen)
    folder = chosen["out"] or raw
    values: dict[str, Any] = {"dataset": "folder", "folder": folder.as_posix(), "prompts": None, "prompt_form": "full"}
    if options["strict"] is not None:
        values["strict"] = options["strict"]
    print_lines(presets.describe_changes(presets.assign(values)))
    layout = Layout()
    stage.run(View(parameters.load(), "prepare"), layout)
    return len(read_jsonl(layout.prompts))


def _is_captioned(raw: Path, options: dict[str, Any]) -> bool:
    """Tell whether RAW is a folder of one's own in a layout that has captions of its own, and nothing is to be made of it."""
    if options["name"] != "folder" or options["out"] is not None or not raw.is_dir():
        return False
    from pipeline.inputs.datasets.image_folder import read_image_folder

    asked = any(options[key] for key in ("blip", "tagger", "overrides", "size", "count"))
    return not asked and not read_image_folder(raw).is_flat


def _with_defaults(options: dict[str, Any], params: Params) -> dict[str, Any]:
    """Return `options` with the folder to write, and squares that are large enough for the chain."""
    from pipeline.inputs.datasets.catalogue import dataset as known_dataset

    known = known_dataset(options["name"])
    if known.name == "folder":
        return options
    size = max(known.size or 0, params.resolution) if options["size"] is None else options["size"]
    return options | {"out": options["out"] or Path("raw") / known.name, "size": size}
