"""`redifine caption`: a raw data set -> images, captions and their parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.caption_options import captioning
from pipeline.core.errors import UserError
from pipeline.diffusion.devices import pick_device

if TYPE_CHECKING:
    from pipeline.inputs.captions.caption_job import CaptionJob, CaptionResult
    from pipeline.inputs.captions.rules import Rule

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command(short_help="A raw data set -> images, captions, their parts.")
@click.argument("raw", type=_FOLDER)
@click.option(
    "--dataset", "name", default="folder", show_default=True, metavar="NAME", help="`redifine dataset list` has them."
)
@click.option("--out", type=_FOLDER, help="Folder for images, captions and parts.jsonl; default: RAW itself (folder only).")
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
    """Caption the data set `name` in `raw`, write the page and tell what came of it; `options` as the commands have them."""
    from pipeline.inputs.captions import stage
    from pipeline.inputs.captions.proof_sheet import clip_counter, write_sheet

    job = _job(raw, options)
    folder = options["tokenizer"] or _models_tokenizer()
    count = clip_counter(folder) if folder else None
    outcome = stage.run(job, *_models(options["blip"], options["tagger"], options["device"]))
    write_sheet(options["sheet"], f"{job.dataset.name}, {options['form']}", job.out, outcome.rows, outcome.captions, count)
    _tell(job, outcome, options["sheet"])
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
    """The data set's rule, with what the command line changes in it, as the prompt set has it."""
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
    """What loads BLIP and the tagger when they are needed; the device is picked only then."""
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
    """A short hash of a model's weights. Raises UserError when there are none."""
    from pipeline.core.files import sha256_bytes, sha256_file

    files = sorted(folder.glob(pattern)) if folder.is_dir() else []
    if not files:
        raise UserError(f"{folder} holds no {pattern}, so it is no such model; fetch it there (docs/datasets.md)")
    return sha256_bytes("".join(sha256_file(file) for file in files).encode())[:16]


def _models_tokenizer() -> Path | None:
    """The tokenizer of params.yaml's model, where there are both."""
    from pipeline.chain import params

    if not params.FILE.is_file():
        return None
    folder = Path(params.load().model) / "tokenizer"
    return folder if folder.is_dir() else None


def _tell(job: CaptionJob, outcome: CaptionResult, sheet: Path) -> None:
    for line in (*outcome.notes, *(str(problem) for problem in sorted(outcome.problems))):
        click.echo(line)
    kept = f", {outcome.kept} of them kept as edited by hand" if outcome.kept else ""
    expected = f" (the paper has {job.dataset.images})" if job.dataset.images not in (None, len(outcome.captions)) else ""
    wrong = f"{len(outcome.problems)} problem(s)" + (f", all in {job.log}" if outcome.problems else "")
    click.echo(f"{len(outcome.captions)} captions{expected} in {job.out}{kept}; {wrong}; {sheet}")
