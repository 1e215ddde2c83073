"""Where the results of a sweep will go: experiments to the Git remote, their data to the DVC remote, or nowhere."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.versioning.dvc_repo import open_repo
from pipeline.versioning.git import git


class NoRemote(UserError):
    """One of the two remotes is not set, or takes nothing."""


def check(clone: Path, git_remote: str) -> str:
    """The names of the remotes that get every iteration, in words.

    Both remotes are needed: an experiment without its data, or data that no experiment names, is of no use elsewhere.
    Raises NoRemote when one is missing, and UserError when the DVC remote is set and cannot be used: it is better to hear
    that before days of work.
    """
    from pipeline.provenance.share import transfer

    with open_repo(clone) as repo:
        if not repo.config["core"].get("remote"):
            raise NoRemote("no DVC remote is set ('make remote URL=...' sets one)")
        transfer.check_writable(repo, None)
        transfer.existing(repo, ["0" * 32], None)
        name = transfer.remote_name(repo, None)
    if git_remote not in git(clone, "remote").splitlines():
        raise NoRemote(f"there is no Git remote {git_remote!r} to send experiments to ('git remote add' adds one)")
    try:
        git(clone, "push", "--quiet", "--dry-run", git_remote, "HEAD:refs/redifine-sweeps/probe")
    except UserError as error:
        raise NoRemote(f"the Git remote {git_remote} takes no experiments ({error})") from error
    return f"{git_remote} and {name}"
