"""Put an experiment's files into the work tree, HEAD staying where it is, and refuse where an edit would be lost.

`dvc exp apply` cannot be used: it takes the whole commit, later files vanish with it, and in a checkout without its submodules
it fails after it has put the owner's files away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.versioning.dvc_lock import LOCK_FILE, read_lock, read_lock_at
from pipeline.versioning.git import ask_git, blobs_at, committed_paths, content_id, git

PARAMETERS = "params.yaml"
_GITLINK = "160000"
"""Git's mode of a submodule."""


def own_files(root: Path, baseline: str, commit: str) -> list[str]:
    """Return files, relative to `root`, that a commit has otherwise than its baseline, or alone, or lacks; no submodules."""
    listed = git(root, "diff-tree", "-r", "-z", "--relative", "--no-renames", baseline, commit).split("\0")
    pairs = zip(listed[0::2], listed[1::2], strict=False)
    return [name for about, name in pairs if _GITLINK not in about.removeprefix(":").split()[:2]]


def result_files(root: Path, commit: str) -> list[str]:
    """Return what of a commit's files its run has set or made: params.yaml, dvc.lock, and outputs that Git keeps.

    One that the run has not come to counts where another run has left it here.
    """
    stages = [*(read_lock_at(root, commit) or {}).values(), *read_lock(root).values()]
    outputs = dict.fromkeys(out.path for stage in stages for out in stage.outs if not out.is_folder)
    kept = committed_paths(root, commit) | committed_paths(root)
    return [PARAMETERS, LOCK_FILE, *(path for path in outputs if path in kept)]


@contextmanager
def files_taken(root: Path, commit: str, names: Sequence[str], force: bool) -> Iterator[list[str]]:
    """Make the files what the commit has, and yield which that changed; all are as before when the block fails.

    Raise UserError where a file was changed here, so that the change is in no commit (unless `force`).
    """
    changed = [name for name in names if content_id(root, name) != _blob(root, commit, name)]
    if not force:
        for name in changed:
            _check_unchanged(root, name)
    before = {name: (root / name).read_bytes() if (root / name).is_file() else None for name in changed}
    try:
        _write(root, commit, changed)
        yield changed
    except BaseException:
        for name, content in before.items():
            if content is None:
                (root / name).unlink(missing_ok=True)
            else:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(content)
        raise


def _write(root: Path, commit: str, names: Collection[str]) -> None:
    present = [name for name in names if _blob(root, commit, name) is not None]
    for name in set(names).difference(present):
        (root / name).unlink(missing_ok=True)
    if present:
        git(root, "restore", f"--source={commit}", "--worktree", "--", *(f":(literal){name}" for name in present))


def _check_unchanged(root: Path, name: str) -> None:
    """Raise UserError unless the file is as some branch, tag or experiment has it."""
    here = content_id(root, name)
    if here is None or here in blobs_at(root, [*held_commits(root), "HEAD"], name):
        return
    known = ask_git(root, "ls-files", "--error-unmatch", "--", name) is not None
    raise UserError(
        f"{name} {'differs from the last commit' if known else 'is not in Git'}, and the experiment would overwrite it; "
        "commit it, or 'git stash' it, or give --force to lose it"
    )


def held_commits(root: Path) -> list[str]:
    """Return the commits that branches, tags and experiments point to."""
    listed = git(root, "for-each-ref", "--format=%(objectname)", "refs/heads", "refs/remotes", "refs/tags", "refs/exps/*/*/*")
    return list(dict.fromkeys(listed.split()))


def _blob(root: Path, commit: str, name: str) -> str | None:
    return next(iter(blobs_at(root, [commit], name)), None)
