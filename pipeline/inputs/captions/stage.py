"""Make of a raw data set a folder of images with captions beside them and parts.jsonl, which `dataset: folder` reads."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.core.errors import UserError
from pipeline.core.files import write_text
from pipeline.core.progress import Progress
from pipeline.inputs.captions import overrides, parts
from pipeline.inputs.captions.caption_job import CaptionJob, CaptionResult, ImageCaptioner, ImageTagger, LazyModel
from pipeline.inputs.captions.missing_parts import fill_missing, find_missing
from pipeline.inputs.captions.output_folder import (
    copy_manual_captions,
    find_captions,
    make_captions,
    parts_of,
    write_captions,
    write_image,
)
from pipeline.inputs.captions.overrides import Override
from pipeline.inputs.captions.parts import Parts
from pipeline.inputs.datasets.csv_tables import Table
from pipeline.inputs.datasets.folder_contents import kind_of, litter_notice
from pipeline.inputs.datasets.items import listed, require_no_problems
from pipeline.inputs.datasets.selection import SelectedImage, expected_count, select_images


def run(job: CaptionJob, blip: LazyModel[ImageCaptioner] | None, tagger: LazyModel[ImageTagger] | None) -> CaptionResult:
    """Make the folder; parts that are there already, of the same file and model, are not asked for again.

    Raise UserError for a problem when `job.strict`: of a raw file before anything is written, of a caption that was made
    before any caption is. Raise it, too, when no image is left, and when a model that the rule needs is not given.
    """
    if job.in_place and job.size:
        raise UserError(f"--size would change the images of {job.raw} itself; name another folder with --out")
    table = overrides.read(job.overrides) if job.overrides else None
    old = parts.load(job.out)
    chosen, outcome = _select(job, old.values())
    corrections = _corrections(job, table, outcome, chosen)
    outcome.rows = [parts_of(job, one, old.get(one.item.name)) for one in chosen]
    existing = find_captions(job, chosen, outcome, corrections)
    _log_problems(job, outcome)
    _refuse_other_images(job, outcome)
    settled = {name for name, cells in corrections.items() if "caption" in cells}
    settled |= set() if job.overwrite else existing.manual.keys()
    missing = find_missing(job, outcome.rows, blip, tagger, settled, corrections)
    for one, row in zip(chosen, outcome.rows, strict=True):
        write_image(job, one, row, old.get(row.name))
    copy_manual_captions(job, existing.manual)
    fill_missing(job, outcome, missing)
    made = make_captions(job, outcome, existing, corrections)
    parts.save(job.out, outcome.rows)
    _log_problems(job, outcome)
    write_captions(job, outcome, made, existing)
    return outcome


def _select(job: CaptionJob, old: Iterable[Parts]) -> tuple[list[SelectedImage], CaptionResult]:
    found = job.dataset.read(job.raw)
    if job.in_place and not found.is_flat:
        raise UserError(f"{job.raw} has folders of images, or captions in a table: name a folder for all of them with --out")
    with Progress("images", expected_count(found, job.count)) as progress:
        chosen, problems = select_images(found, job.count, job.seed, (row.sha256 for row in old), progress.advance)
    return chosen, CaptionResult(problems=problems, notices=[*found.notices, *litter_notice(found.litter)])


def _corrections(
    job: CaptionJob, table: Table | None, outcome: CaptionResult, chosen: Iterable[SelectedImage]
) -> dict[str, Override]:
    if table is None or job.overrides is None:
        return {}
    corrections, problems = overrides.of_images(table, job.overrides.name, (one.item.name for one in chosen))
    outcome.problems += problems
    return corrections


def _log_problems(job: CaptionJob, outcome: CaptionResult) -> None:
    """Write all problems to the log, which goes when there are none; with `strict` they are an error."""
    if job.log is not None and (outcome.problems or job.log.is_file()):
        lines = [*outcome.notices, *(str(problem) for problem in sorted(outcome.problems))]
        if outcome.problems:
            write_text(job.log, "".join(f"{line}\n" for line in lines))
        else:
            job.log.unlink()
    if job.strict:
        require_no_problems(outcome.problems, job.raw, job.log)


def _refuse_other_images(job: CaptionJob, outcome: CaptionResult) -> None:
    """Raise UserError when no image is left, or the folder holds others: D_0 would silently have them too."""
    if not outcome.rows:
        why = listed(outcome.problems, 5) or "it is empty"
        raise UserError(f"{job.raw} has no usable image of {job.dataset.name}: {why}")
    if job.in_place or not job.out.is_dir():
        return
    wanted = {row.name for row in outcome.rows}
    others = sorted(p.name for p in job.out.iterdir() if kind_of(p) == "image" and p.stem not in wanted)
    if others:
        raise UserError(
            f"{job.out} holds {len(others)} images that are not of this selection ({others[0]}, ...); "
            "remove them, or name another folder with --out"
        )
