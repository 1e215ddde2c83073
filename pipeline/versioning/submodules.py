"""Keep a submodule's entry in the commits of experiments.

DVC commits an experiment through a Git library that takes a submodule which is not checked out for a deleted one; in its
queue's copies none ever is. All of this can go when it leaves such entries alone.
"""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.versioning.git import ask_git, committed_files, git

_GITLINK = "160000"
_GITMODULES = ".gitmodules"


def keep_submodules(root: Path, name: str = "*") -> list[str]:
    """Give the entry back to every experiment (of this name) that has lost it; return their names.

    What else a commit says stays: its files, parent, author, date and message, so that each clone makes the same one of it.
    """
    mended = []
    for line in (
        ask_git(root, "for-each-ref", "--format=%(objectname) %(refname)", f"refs/exps/*/*/{name}") or ""
    ).splitlines():
        commit, reference = line.split(maxsplit=1)
        lost = _lost_entries(root, commit)
        if lost:
            git(root, "update-ref", reference, _with_entries(root, commit, lost), commit)
            mended.append(reference.rpartition("/")[2])
    return mended


def _lost_entries(root: Path, commit: str) -> dict[str, str]:
    """Return {path: commit} of the submodules that a commit's parent has, and the commit only in its .gitmodules."""
    changes = (ask_git(root, "diff-tree", "-r", "-z", "--no-renames", f"{commit}^", commit) or "").split("\0")
    pairs = zip(changes[0::2], changes[1::2], strict=False)
    gone = {path: about.split()[2] for about, path in pairs if about.startswith(f":{_GITLINK} 000000")}
    if not gone:
        return {}
    held = committed_files(root, commit, [_GITMODULES]).get(_GITMODULES, b"").decode(errors="replace")
    named = {line.partition("=")[2].strip() for line in held.splitlines() if line.strip().startswith("path")}
    return {path: entry for path, entry in gone.items() if path in named}


def _with_entries(root: Path, commit: str, entries: dict[str, str]) -> str:
    """Write the commit again with these submodules; return the new one's name."""
    index = Path(git(root, "rev-parse", "--absolute-git-dir")) / f"redifine-index-{os.getpid()}"
    try:
        git(root, "read-tree", commit, index=index)
        for path, entry in entries.items():
            git(root, "update-index", "--add", "--cacheinfo", f"{_GITLINK},{entry},{path}", index=index)
        tree = git(root, "write-tree", index=index)
    finally:
        index.unlink(missing_ok=True)
    content = git(root, "cat-file", "commit", commit)
    _, _, rest = content.partition("\n")
    return git(root, "hash-object", "-t", "commit", "-w", "--stdin", text=f"tree {tree}\n{rest}\n")


def stand_in_for_submodules(copy: Path) -> None:
    """In a copy that DVC makes for one experiment, give each submodule's entry back to the index, and its folder a
    repository of which there is nothing but the recorded commit's name: the library asks for no more.
    """
    for entry in (ask_git(copy, "ls-tree", "-r", "-z", "HEAD") or "").split("\0"):
        about, _, path = entry.partition("\t")
        repository = copy / path / ".git"
        if about.startswith(_GITLINK) and not any((copy / path).glob("*")):
            commit = about.split()[2]
            if repository.is_file():  # a link to what the copy has not
                repository.unlink()
            for name in ("objects", "refs"):
                (repository / name).mkdir(parents=True, exist_ok=True)
            (repository / "HEAD").write_text(f"{commit}\n")
            git(copy, "update-index", "--add", "--cacheinfo", f"{_GITLINK},{commit},{path}")


def is_experiments_copy(folder: Path) -> bool:
    """Return whether a stage runs in such a copy: DVC names the project that it is a copy of."""
    project = os.environ.get("DVC_ROOT")
    return bool(project) and Path(project or "").resolve() != folder.resolve()
