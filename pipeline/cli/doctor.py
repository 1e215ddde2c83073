"""The command `redifine doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.core.files import project_root

if TYPE_CHECKING:
    from pipeline.run.doctor import CheckResult

_COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


@click.command(short_help="What this machine lacks for a run, and the remedy.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Look at GPU, libraries, model, sd-scripts, disk, Git and DVC, and say what to do about each finding.

    Exit code 1 when something is missing that `dvc repro` needs with the present params.yaml, else 0.
    """
    found = examine(project_root())
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        for finding in found:
            click.echo(line(finding))
    context.exit(1 if any(finding.level == "problem" for finding in found) else 0)


def examine(root: Path) -> list[CheckResult]:
    """Run every check on the project at `root`, in the order in which a run meets them; one that fails is a finding itself."""
    from pipeline.run.doctor import git_and_dvc, hardware, looked_at, project

    params, of_params = project.read_params(root)
    rest = (
        [looked_at("model", project.model, root, params), looked_at("images", project.images, root, params)] if params else []
    )
    return [
        of_params,
        *looked_at("python", project.python),
        *looked_at("packages", project.packages, root),
        *chain.from_iterable(rest),
        *looked_at("sd-scripts", project.scripts, root, params),
        *looked_at("GPU", hardware.gpu, params),
        *looked_at("driver", hardware.driver),
        *looked_at("torch", hardware.torch_build),
        *looked_at("xformers", hardware.xformers, params),
        *looked_at("bitsandbytes", hardware.bitsandbytes, params),
        *looked_at("compiler", hardware.compiler),
        *looked_at("disk", hardware.disk, root),
        *looked_at("writing", hardware.writing, root),
        *looked_at("git", git_and_dvc.git, root),
        *looked_at("experiment", project.experiment, root),
        *looked_at("DVC", git_and_dvc.dvc, root),
    ]


def line(finding: CheckResult) -> str:
    """Return, say, "note     sd-scripts   not there; run 'make vendor'"."""
    from pipeline.core.errors import printable

    level = click.style(f"{finding.level:8}", fg=_COLOURS[finding.level])
    remedy = f"; {finding.remedy}" if finding.remedy else ""
    return f"{level} {finding.subject:12} {printable(finding.found + remedy)}"
