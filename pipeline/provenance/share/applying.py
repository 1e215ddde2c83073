"""What `redifine exp apply` does, and the part of it that `redifine get --exp` does too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.provenance.share import transfer
from pipeline.versioning.changed_code import changed_code
from pipeline.versioning.dvc_lock import StageEntry, read_lock_at
from pipeline.versioning.experiment_files import files_taken, own_files, result_files
from pipeline.versioning.experiments import Experiment, check_name, local_experiment
from pipeline.versioning.run_at_work import check_no_run
from pipeline.versioning.submodules import keep_submodules

_SHOWN = 3


def apply(root: Path, name: str, force: bool) -> list[str]:
    """Make the work tree's files, those that the experiment has otherwise than its baseline, and the outputs the experiment's.

    Returns what to tell. Raise UserError, with nothing changed, where there is no such experiment, or where an edit or an
    output that is nowhere else would be lost (unless `force`).
    """
    check_name(name)
    keep_submodules(root, name)
    experiment = local_experiment(root, name)
    names = [*own_files(root, experiment.baseline, experiment.commit), *result_files(root, experiment.commit)]
    changed = take(root, experiment, list(dict.fromkeys(names)), force)
    taken = f"{listed(changed)} {'are' if len(changed) > 1 else 'is'} the experiment's now" if changed else "nothing to change"
    return [taken, *code_notices(root, name, experiment)]


def take_results(root: Path, name: str, experiment: Experiment, force: bool) -> list[str]:
    """Do so for its params.yaml, dvc.lock and summary alone: no code, no configuration."""
    take(root, experiment, result_files(root, experiment.commit), force)
    return code_notices(root, name, experiment)


def take(root: Path, experiment: Experiment, names: Sequence[str], force: bool) -> list[str]:
    """Take these of its files and, from the cache, its outputs, all or nothing; return the files that changed.

    Raise UserError while a run is at work, whose record and files these are.
    """
    check_no_run(root)
    with files_taken(root, experiment.commit, names, force) as changed:
        transfer.check_out_what_is_here(root, force)
    return changed


def code_notices(root: Path, name: str, experiment: Experiment) -> list[str]:
    """Say where the experiment ran other code than is here, and which commit has that."""
    stages: Mapping[str, StageEntry] = read_lock_at(root, experiment.commit, name) or {}
    here = changed_code(root, stages)
    if not here:
        return []
    commit = experiment.commit[:7]
    return [
        f"{name} ran other code than is here ({listed(here)}), so 'redifine repro' would make those stages again; "
        f"its code is in {commit}: 'git worktree add ../{name} {commit}' opens it beside this folder"
    ]


def listed(names: Sequence[str]) -> str:
    """ "a, b, c and 4 more" """
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
