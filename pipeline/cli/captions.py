"""`redifine caption`: a raw data set -> images, captions and their parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import FOLDER, FiniteRange, device_option, print_lines, together
from pipeline.cli.project_folder import GivenPath
from pipeline.core.errors import UserError
from pipeline.diffusion.devices import pick_device

if TYPE_CHECKING:
    from pipeline.inputs.captions.caption_job import CaptionJob, CaptionResult
    from pipeline.inputs.captions.rules import Rule

_SCORE = FiniteRange(0.1, 1.0)

captioning = together(
    click.option("--blip", type=FOLDER, help="A BLIP in transformers' layout."),
    click.option("--tagger", type=FOLDER, help="A WD v1.4 tagger: model.onnx and selected_tags.csv."),
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
    click.option("--overrides", type=GivenPath(dir_okay=False), help="CSV of corrections by hand."),
    click.option("--size", type=click.IntRange(0, 4096), help="Images become squares of this size; 0: copied as they are."),
    click.option(
        "--fit", type=click.Choice(["crop", "pad", "squash"]), default="crop", show_default=True, help="How, with --size."
    ),
    click.option("--count", type=click.IntRange(min=1), help="Draw this many images; default for celeba: 1000."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the draw."),
    click.option("--batch", type=click.IntRange(min=1), default=8, show_default=True, help="Images captioned at a time."),
    click.option("--overwrite", is_flag=True, help="Also captions that were edited by hand."),
    click.option("--sheet", type=GivenPath(dir_okay=False), default=Path("captions/index.html"), show_default=True),
    click.option("--tokenizer", type=FOLDER, help="CLIP tokenizer that counts tokens; default: that of params.yaml's model."),
    device_option,
)
"""The options of `redifine caption`, but for the data set and the folder to write."""


@click.command(short_help="A raw data set -> images, captions, their parts.")
@click.argument("raw", type=FOLDER)
@click.option(
    "--dataset", "name", default="folder", show_default=True, metavar="NAME", help="`redifine dataset list` has them."
)
@click.option("--out", type=FOLDER, help="Folder for images, captions and parts.jsonl; default: RAW itself (folder only).")
@click.option(
    "--strict", is_flag=True, help="Stop at any problem: of a raw file before anything is written, then of a caption."
)
@captioning
def caption(raw: Path, **options: Any) -> None:
    """Read the raw data set in RAW, caption its images, and write the folder that `dataset: folder` takes.

    What BLIP and the tagger said is kept in parts.jsonl: another --form, --style, --threshold or a stopped run asks no
    model again for what is there.

    Example: redifine caption downloads/leedsbutterfly --dataset butterfly --out raw --blip models/base/blip
    """
    caption_set(raw, options)


def caption_set(raw: Path, options: dict[str, Any]) -> CaptionResult:
    """Caption the data set `name` in `raw`, write the page and print what came of it; `options` as the commands have them."""
    from pipeline.inputs.captions import stage
    from pipeline.inputs.captions.proof_sheet import clip_counter, write_sheet

    job = _job(raw, options)
    folder = options["tokenizer"] or _models_tokenizer()
    count = clip_counter(folder) if folder else None
    outcome = stage.run(job, *_models(options["blip"], options["tagger"], options["device"]))
    write_sheet(options["sheet"], f"{job.dataset.name}, {options['form']}", job.out, outcome.rows, outcome.captions, count)
    _print_result(job, outcome, options["sheet"])
    return outcome


def _job(raw: Path, options: dict[str, Any]) -> CaptionJob:
    from pipeline.chain.paths import Layout
    from pipeline.inputs.captions.caption_job import CaptionJob
    from pipeline.inputs.captions.rules import LONG, SHORT, Thresholds, Window
    from pipeline.inputs.datasets.catalogue import dataset

    known = dataset(options["name"])
    if options["out"] is None and known.name != "folder":
        raise UserError(f"--dataset {known.name} needs --out, the folder for its images and captions")
    further = tuple(Window(window.least, window.most, options["unit"]) for window in (SHORT, LONG))
    count = known.images if options["count"] is None and known.subsample else options["count"]
    return CaptionJob(
        dataset=known,
        raw=raw,
        out=options["out"] or raw,
        rule=_rule(known.name, options),
        thresholds=Thresholds(options["threshold"], options["character_threshold"]),
        windows=further if options["all_forms"] else (),
        size=known.size if options["size"] is None else options["size"] or None,
        **{key: options[key] for key in ("fit", "seed", "overrides", "overwrite", "batch")},
        strict=bool(options["strict"]),
        count=count,
        log=Layout().log("caption", 0),
    )


def _rule(name: str, options: dict[str, Any]) -> Rule:
    """Return the data set's rule, with what the command line changes in it, as the prompt set has it."""
    from dataclasses import replace

    from pipeline.inputs.captions.rules import RULES, parse_parts, parse_window, prompt_set

    rule = RULES[name]
    window = f"{rule.window.least}-{rule.window.most}" if options["window"] is None else options["window"]
    rule = replace(rule, window=parse_window(window, options["unit"]))
    if options["style"] is not None:
        rule = replace(rule, style=options["style"])
    rule = prompt_set(rule, options["form"])
    return replace(rule, parts=parse_parts(options["parts"])) if options["parts"] else rule


def _models(blip: Path | None, tagger: Path | None, device: str | None) -> tuple[Any, Any]:
    """Return what loads BLIP and the tagger when they are needed; the device is picked only then."""
    from pipeline.inputs.captions.caption_job import LazyModel
    from pipeline.inputs.captions.tagger import load_tagger

    def load_blip_there() -> Any:
        from pipeline.inputs.captions.blip import load_blip

        return load_blip(blip, pick_device(device)) if blip else None

    return (
        LazyModel(_identity(blip, "*.safetensors"), load_blip_there) if blip else None,
        LazyModel(_identity(tagger, "*.onnx"), lambda: load_tagger(tagger, pick_device(device))) if tagger else None,
    )


def _identity(folder: Path, pattern: str) -> str:
    """Return a short hash of a model's weights. Raises UserError when there are none."""
    from pipeline.core.files import sha256_bytes, sha256_file

    files = sorted(folder.glob(pattern)) if folder.is_dir() else []
    if not files:
        raise UserError(f"{folder} holds no {pattern}, so it is no such model; fetch one there (docs/datasets.md)")
    return sha256_bytes("".join(sha256_file(file) for file in files).encode())[:16]


def _models_tokenizer() -> Path | None:
    """Return the tokenizer of params.yaml's model, where there are both."""
    from pipeline.chain import params

    if not params.FILE.is_file():
        return None
    folder = Path(params.load().model) / "tokenizer"
    return folder if folder.is_dir() else None


def _print_result(job: CaptionJob, outcome: CaptionResult, sheet: Path) -> None:
    print_lines((*outcome.notices, *sorted(outcome.problems)))
    kept = f", {outcome.hand_edited} of them kept as edited by hand" if outcome.hand_edited else ""
    expected = f" (the paper has {job.dataset.images})" if job.dataset.images not in (None, len(outcome.captions)) else ""
    wrong = f"{len(outcome.problems)} problem(s)" + (f", all in {job.log}" if outcome.problems else "")
    click.echo(f"{len(outcome.captions)} captions{expected} in {job.out}{kept}; {wrong}; {sheet}")
