"""`redifine caption`: a raw data set -> pictures, captions and their parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.captions.job import Job, Outcome
    from pipeline.captions.rules import Rule

_FOLDER = click.Path(path_type=Path, file_okay=False)
_SCORE = click.FloatRange(0.1, 1.0)


@click.command(short_help="A raw data set -> pictures, captions, their parts.")
@click.argument("raw", type=_FOLDER)
@click.option(
    "--dataset", "name", default="folder", show_default=True, metavar="NAME", help="`redifine dataset list` has them."
)
@click.option("--out", type=_FOLDER, help="Folder for pictures, captions and parts.jsonl; default: RAW itself (folder only).")
@click.option("--blip", type=_FOLDER, help="A BLIP in transformers' layout.")
@click.option("--tagger", type=_FOLDER, help="A WD v1.4 tagger: model.onnx and selected_tags.csv.")
@click.option(
    "--form", type=click.Choice(["full", "tags", "short", "long"]), default="full", show_default=True, help="Prompt set."
)
@click.option("--all-forms", is_flag=True, help="Also ask BLIP for the short and long texts, for prompt sets to come.")
@click.option("--parts", metavar="LIST", help="Parts in order, of blip,style,tags,name,description,attributes.")
@click.option("--style", metavar="TEXT", help="Words that name the style; default: the data set's.")
@click.option("--window", metavar="LEAST-MOST", help="Length of BLIP's text; default: the data set's.")
@click.option("--unit", type=click.Choice(["words", "tokens"]), default="words", show_default=True, help="Of the window.")
@click.option("--threshold", type=_SCORE, default=0.35, show_default=True, help="Score from which a general tag counts.")
@click.option("--character-threshold", type=_SCORE, default=0.85, show_default=True, help="The same, for characters.")
@click.option("--overrides", type=click.Path(path_type=Path, dir_okay=False), help="CSV of corrections by hand.")
@click.option("--size", type=click.IntRange(0, 4096), help="Pictures become squares of this size; 0: copied as they are.")
@click.option(
    "--fit", type=click.Choice(["crop", "pad", "squash"]), default="crop", show_default=True, help="How, with --size."
)
@click.option("--count", type=click.IntRange(min=1), help="Draw this many pictures; default for celeba: 1000.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the draw.")
@click.option("--batch", type=click.IntRange(min=1), default=8, show_default=True, help="Pictures captioned at a time.")
@click.option("--strict", is_flag=True, help="Write nothing when any file has a problem.")
@click.option("--overwrite", is_flag=True, help="Also captions that were edited by hand.")
@click.option(
    "--sheet", type=click.Path(path_type=Path, dir_okay=False), default=Path("captions/index.html"), show_default=True
)
@click.option("--tokenizer", type=_FOLDER, help="CLIP tokenizer that counts tokens; default: that of params.yaml's model.")
@click.option("--device", metavar="NAME", help="Torch device; CUDA where there is one, else the CPU.")
def caption(raw: Path, sheet: Path, tokenizer: Path | None, device: str | None, **options: Any) -> None:
    """Read the raw data set in RAW, caption its pictures, and write the folder that `dataset: folder` takes.

    What BLIP and the tagger said is kept in parts.jsonl: another --form, --style, --threshold or a stopped run asks no
    model again for what is there.

    Example: redifine caption downloads/leedsbutterfly --dataset butterfly --out data/raw --blip models/blip
    """
    from pipeline.captions import stage
    from pipeline.captions.sheet import clip_counter, write_sheet

    job = _job(raw, options)
    folder = tokenizer or _models_tokenizer()
    count = clip_counter(folder) if folder else None
    outcome = stage.run(job, *_models(options["blip"], options["tagger"], device))
    write_sheet(sheet, f"{job.dataset.name}, {options['form']}", job.out, outcome.rows, outcome.captions, count)
    _tell(job, outcome, sheet)


def _job(raw: Path, options: dict[str, Any]) -> Job:
    from pipeline.captions.job import Job
    from pipeline.captions.rules import LONG, SHORT, Thresholds, Window
    from pipeline.datasets.catalogue import dataset

    known = dataset(options["name"])
    if options["out"] is None and known.name != "folder":
        raise UserError(f"--dataset {known.name} needs --out, the folder for its pictures and captions")
    further = tuple(Window(window.least, window.most, options["unit"]) for window in (SHORT, LONG))
    count = known.images if options["count"] is None and known.subsample else options["count"]
    return Job(
        dataset=known,
        raw=raw,
        out=options["out"] or raw,
        rule=_rule(known.name, options),
        thresholds=Thresholds(options["threshold"], options["character_threshold"]),
        windows=further if options["all_forms"] else (),
        size=known.size if options["size"] is None else options["size"] or None,
        **{key: options[key] for key in ("fit", "seed", "overrides", "strict", "overwrite", "batch")},
        count=count,
    )


def _rule(name: str, options: dict[str, Any]) -> Rule:
    """The data set's rule, with what the command line changes in it, as the prompt set has it."""
    from dataclasses import replace

    from pipeline.captions.rules import RULES, parse_parts, parse_window, prompt_set

    rule = RULES[name]
    window = f"{rule.window.least}-{rule.window.most}" if options["window"] is None else options["window"]
    rule = replace(rule, window=parse_window(window, options["unit"]))
    if options["style"] is not None:
        rule = replace(rule, style=options["style"])
    rule = prompt_set(rule, options["form"])
    return replace(rule, parts=parse_parts(options["parts"])) if options["parts"] else rule


def _models(blip: Path | None, tagger: Path | None, device: str | None) -> tuple[Any, Any]:
    """What loads BLIP and the tagger when they are needed; the device is picked only then."""
    from pipeline.captions.job import Model
    from pipeline.captions.tagger import load_tagger
    from pipeline.cli import _pick_device

    def load_blip_there() -> Any:
        from pipeline.captions.blip import load_blip

        return load_blip(blip, _pick_device(device)) if blip else None

    return (
        Model(_identity(blip, "*.safetensors"), load_blip_there) if blip else None,
        Model(_identity(tagger, "*.onnx"), lambda: load_tagger(tagger, _pick_device(device))) if tagger else None,
    )


def _identity(folder: Path, pattern: str) -> str:
    """A short hash of a model's weights. Raises UserError when there are none."""
    from pipeline.storage import sha256_bytes, sha256_file

    files = sorted(folder.glob(pattern)) if folder.is_dir() else []
    if not files:
        raise UserError(f"{folder} holds no {pattern}, so it is no such model; fetch it there (docs/datasets.md)")
    return sha256_bytes("".join(sha256_file(file) for file in files).encode())[:16]


def _models_tokenizer() -> Path | None:
    """The tokenizer of params.yaml's model, where there are both."""
    from pipeline import params

    if not params.FILE.is_file():
        return None
    folder = Path(params.load().model) / "tokenizer"
    return folder if folder.is_dir() else None


def _tell(job: Job, outcome: Outcome, sheet: Path) -> None:
    for line in (*outcome.notes, *(str(problem) for problem in sorted(outcome.problems))):
        click.echo(line)
    kept = f", {outcome.kept} of them kept as edited by hand" if outcome.kept else ""
    expected = f" (the paper has {job.dataset.images})" if job.dataset.images not in (None, len(outcome.captions)) else ""
    click.echo(f"{len(outcome.captions)} captions{expected} in {job.out}{kept}; {len(outcome.problems)} problem(s); {sheet}")
