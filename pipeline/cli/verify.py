"""The command `redifine verify`."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import FiniteRange, device_option, print_lines, print_notes
from pipeline.core.errors import printable
from pipeline.core.files import project_root

if TYPE_CHECKING:
    from pipeline.provenance.verify.audit import Audit
    from pipeline.provenance.verify.recompute import Verification

_WORST = 10

RUNNER = "pipeline.cli.run_commands"
"""Runs the stages in a scratch copy, in one process."""


@click.command(short_help="Audit every hash, or compute an iteration again.")
@click.argument("k", type=click.IntRange(min=0), required=False)
@click.option("--all", "everything", is_flag=True, help="Hash every file of the chain and compute nothing again.")
@click.option("--images", metavar="I,J,...|all", help="Draw only the images of these prompts again, with the recorded M_k.")
@click.option("--repair", is_flag=True, help="With --all: bring back what is not as recorded, from DVC's cache, a remote, or "
              "computed again.")  # fmt: skip
@device_option
@click.option("--min-psnr", type=FiniteRange(min=0.0), default=30.0, show_default=True, metavar="DB",
              help="How near an image that is not byte-equal must be.")  # fmt: skip
@click.option("--max-distance", type=FiniteRange(min=0.0), default=0.1, show_default=True, metavar="SHARE",
              help="How far features and tensors may be, as a share of their length.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.pass_context
def verify(
    context: click.Context, k: int | None, everything: bool, images: str | None, repair: bool, device: str | None,
    min_psnr: float, max_distance: float, as_json: bool,
) -> None:  # fmt: skip
    """Check the chain against its records: --all by every file's hash, K by computing iteration K again in a scratch copy.

    --all reads the files in the work tree and DVC's own copies of them. --repair takes wrong copies out of the cache; what is
    found or computed again comes in only when its hash is the recorded one, and your own inputs are left alone.

    K computes with as many threads as the record was made with.

    Exit code 0 when all of it holds, 1 when something does not, 2 on wrong use.

    Example: redifine verify 3 --images 0,12
    """
    if everything == (k is not None):
        raise click.UsageError("give an iteration K to compute again, or --all to audit every file's hash")
    if images is not None and not k:
        raise click.UsageError("--images needs an iteration K >= 1, whose images were drawn")
    if repair and not everything:
        raise click.UsageError("--repair goes with --all")
    root = project_root()
    if repair:
        from pipeline.provenance.verify.repair import repair_all
        from pipeline.versioning.run_at_work import only_run

        with only_run(root):
            result = repair_all(root, RUNNER)
        for sentence in (*result.done, *result.left):
            click.echo(printable(sentence), err=True)
    if k is None:
        from pipeline.provenance.verify.audit import audit

        holds = _show_audit(audit(root), as_json)
    else:
        from pipeline.provenance.verify.comparison import Tolerance
        from pipeline.provenance.verify.recompute import verify as compute

        tolerance = Tolerance(min_psnr, max_distance)
        holds = _show(compute(root, k, _numbers(images, root, k), device, tolerance, RUNNER), as_json)
    context.exit(0 if holds else 1)


def _numbers(images: str | None, root: Path, k: int) -> Collection[int]:
    """Return the prompts that --images names; none without it. Raises UserError when "all" needs a D_k that is not here."""
    if images is None:
        return ()
    if images == "all":
        from pipeline.chain.image_sets import read_manifest
        from pipeline.chain.paths import Layout

        return sorted({row["prompt_index"] for row in read_manifest(Layout(root), k)})
    parts = [part.strip() for part in images.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise click.UsageError(f"--images takes prompts' numbers with commas between them, as 0,12, or all; got {images!r}")
    return sorted({int(part) for part in parts})


def _print_json(found: Audit | Verification, holds: bool) -> bool:
    click.echo(json.dumps({"holds": holds, **asdict(found)}, indent=2, sort_keys=True, ensure_ascii=False))
    return holds


def _show_audit(found: Audit, as_json: bool) -> bool:
    if as_json:
        return _print_json(found, not found.findings)
    print_lines(found.findings)
    if found.unrecorded:
        print_notes(f"no record holds a hash of {len(found.unrecorded)} files, the first is {found.unrecorded[0]}")
    print_notes(*([found.leftovers] if found.leftovers else []))
    if found.note:
        click.echo(found.note)
    if found.uncommitted:
        named = ", ".join(found.uncommitted[:3]) + (", ..." if len(found.uncommitted) > 3 else "")
        print_notes(
            f"dvc.lock is not what HEAD holds of {named}; once it is committed, nobody can change it and a file together "
            "unnoticed"
        )
    wrong = len({finding.path for finding in found.findings})
    click.echo(f"{found.files} files, {found.size / 2**20:.1f} MiB: {f'{wrong} wrong' if wrong else 'all as recorded'}")
    return not found.findings


def _show(found: Verification, as_json: bool) -> bool:
    if as_json:
        return _print_json(found, found.holds)
    print_notes(*found.notes)
    differing = [comparison for comparison in found.comparisons if not comparison.equal]
    for comparison in sorted(differing, key=lambda c: c.holds)[:_WORST]:
        told = ", ".join(f"{name} {_number(value)}" for name, value in comparison.measured.items())
        said = comparison.problem or "within the tolerance"
        click.echo(f"{comparison.path}: {said}{f' ({told})' if told else ''}")
    if len(differing) > _WORST:
        click.echo(f"... and {len(differing) - _WORST} more; --json lists them")
    beyond = sum(not comparison.holds for comparison in differing)
    equal = len(found.comparisons) - len(differing)
    click.echo(
        f"iteration {found.k}: {equal} of {len(found.comparisons)} files byte-equal, "
        f"{len(differing) - beyond} within the tolerance, {beyond} beyond it"
    )
    return found.holds


def _number(value: float | int | None) -> str:
    return "equal" if value is None else f"{value:.4g}"
