"""Where the results of a sweep will go: experiments to the Git remote, their data to the DVC remote, or nowhere."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UserError
from pipeline.sweep.worktree import git


def check(clone: Path, git_remote: str) -> tuple[str, str]:
    """The Git remote that gets every iteration ("": none), and one sentence on where results go.

    Both remotes are needed: an experiment without its data, or data that no experiment names, is of no use elsewhere.
    Raises UserError when the DVC remote is set and cannot be used: it is better to hear that before days of work.
    """
    from pipeline.share import transfer

    stays = "experiments and their data stay in this clone"
    with transfer.opened(clone) as repo:
        if not repo.config["core"].get("remote"):
            return "", f"no DVC remote is set: {stays}; 'make remote URL=...' sets one"
        transfer.check_writable(repo, None)
        transfer.existing(repo, ["0" * 32], None)
        name = transfer.remote_name(repo, None)
    if git_remote not in git(clone, "remote").splitlines():
        return "", f"there is no Git remote {git_remote!r} to send experiments to: {stays}; 'git remote add' adds one"
    try:
        git(clone, "push", "--quiet", "--dry-run", git_remote, "HEAD:refs/redifine-sweeps/probe")
    except UserError as error:
        return "", f"the Git remote {git_remote} takes no experiments ({error}): {stays}"
    return git_remote, f"every iteration is sent to {git_remote} and {name}"
