"""A checkout per worker, beside the clone and on its DVC cache; and a finished chain as a DVC experiment of the clone.

`dvc exp save` breaks in a Git worktree of a checkout with submodules, so the experiment, a commit on the baseline under
refs/exps, is made with Git alone. Such references belong to the clone, whichever worktree writes them.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.chain import params as parameters
from pipeline.chain import presets
from pipeline.chain.params import PATH_PARAMETERS, Params
from pipeline.core.errors import UserError
from pipeline.core.files import link_or_copy
from pipeline.studies.sweep.plan import Chain
from pipeline.versioning.experiments import UNFINISHED, Experiment, experiments
from pipeline.versioning.git import ask_git, git
from pipeline.versioning.untracked_code import check_code_is_in_git

FOLDER = Path(".dvc/tmp/sweeps")
"""Where the worktrees are, in the clone: ignored by Git, and below vendor/sd-scripts's own folder."""


def check_committed(clone: Path) -> str:
    """Return the commit that a sweep would run. Raises UserError when tracked files differ from it, or it lacks code."""
    check_code_is_in_git(clone)
    changed = git(clone, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all").splitlines()
    if changed:
        first, others = changed[0].split(maxsplit=1)[-1], len(changed) - 1
        raise UserError(
            f"{f'{first} and {others} more differ' if others else f'{first} differs'} from the last commit, and a sweep runs a "
            "commit; run 'git commit -a' (or 'git stash') first"
        )
    return git(clone, "rev-parse", "HEAD")


def set_up(clone: Path, folder: Path, commit: str, cache: Path, chain: Chain) -> None:
    """Make `folder` a checkout of `commit` with the chain's params.yaml; unfinished work in scratch/ is kept."""
    check_out(clone, folder, commit)
    git(folder, "checkout", "--quiet", "--force", "--detach", commit)
    git(folder, "clean", "--quiet", "-ffdx", "--exclude=/scratch/")
    (folder / ".dvc/config.local").write_text(f'[cache]\n    dir = "{cache}"\n')
    _link_inputs(clone, folder, chain.params)
    presets.assign(chain.values, folder / parameters.FILE)


def check_out(clone: Path, folder: Path, commit: str) -> None:
    """Make `folder` a worktree of the clone, unless it is one."""
    if not _is_worktree(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        git(clone, "worktree", "prune")
        git(clone, "worktree", "add", "--quiet", "--detach", str(folder.resolve()), commit)


def remove(clone: Path, folder: Path) -> None:
    """Remove a worktree; what its stages made is in the cache."""
    shutil.rmtree(folder, ignore_errors=True)
    git(clone, "worktree", "prune")


def _is_worktree(folder: Path) -> bool:
    with suppress(UserError, OSError):
        return Path(git(folder, "rev-parse", "--show-toplevel")) == folder.resolve()
    return False


def _link_inputs(clone: Path, folder: Path, params: Params) -> None:
    """Bring models and raw images that are in the clone but not in Git: hard links, or copies across file systems."""
    for name in PATH_PARAMETERS:
        given = getattr(params, name)
        source = clone / given if given else None
        if source is None or Path(given).is_absolute() or not source.exists():
            continue
        for file in [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file()):
            target = folder / file.relative_to(clone)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(file, target)


def _pathspecs_without_inputs(folder: Path) -> list[str]:
    """Git's words for leaving out what `_link_inputs` has put there: it was not in Git, and is not to get there."""
    params = parameters.load(folder / parameters.FILE)
    given = {name for key in PATH_PARAMETERS if (name := getattr(params, key)) and not Path(name).is_absolute()}
    # `git add` takes a word that leaves out what is ignored anyway for a mistake.
    return [f":(exclude,literal){name}" for name in sorted(given) if ask_git(folder, "check-ignore", "--quiet", name) is None]


def save(folder: Path, commit: str, name: str, k: int | None = None) -> str:
    """Make the worktree's result (dvc.lock, params.yaml, summary) the experiment `name`; return its commit.

    `k`: the chain has come to iteration k and goes on; the next save takes this one's place. An experiment of that name on
    another commit gives way to a whole one, so that the name stays unambiguous; its stages stay in the cache.
    """
    index = folder / ".dvc/tmp/index"
    index.parent.mkdir(parents=True, exist_ok=True)
    index.unlink(missing_ok=True)
    git(folder, "read-tree", commit, index=index.resolve())
    git(folder, "add", "--all", "--", ".", *_pathspecs_without_inputs(folder), index=index.resolve())
    tree = git(folder, "write-tree", index=index.resolve())
    subject = f"dvc: commit experiment {name}" + (f"{UNFINISHED}{k}" if k is not None else "")
    made = git(folder, "commit-tree", "-p", commit, "-m", subject, tree)
    reference = f"refs/exps/{commit[:2]}/{commit[2:]}/{name}"
    git(folder, "update-ref", reference, made)
    for old in experiments(folder, name):
        if k is None and old.reference != reference:
            git(folder, "update-ref", "-d", old.reference)
    return made


def find(clone: Path, chain: Chain, baseline: str | None = None) -> Experiment | None:
    """Return the chain's complete experiment with exactly its parameters (of the commit `baseline`, if given)."""
    for experiment in experiments(clone, chain.name):
        if experiment.complete and baseline in (None, experiment.baseline) and _params(clone, experiment) == chain.params:
            return experiment
    return None


def _params(clone: Path, experiment: Experiment) -> Params | None:
    """Return an experiment's parameters; None where this version of the project does not know them."""
    content: Any = YAML(typ="safe").load(git(clone, "show", f"{experiment.commit}:{parameters.FILE}"))
    with suppress(UserError):
        return parameters.check(content)
    return None
