"""Repair what a DVC that was killed can leave torn, and check what a chain needs before it runs.

DVC writes its stages and outputs under temporary names, but dvc.lock and its list of running processes in place; the repair
can go when it writes these two under temporary names, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.chain.params import Params
from pipeline.chain.paths import OUTPUT_FOLDERS
from pipeline.core.errors import UserError, printable
from pipeline.inputs.missing import no_raw_folder
from pipeline.versioning.dvc_lock import LOCK_FILE, read_lock
from pipeline.versioning.dvc_repo import open_repo
from pipeline.versioning.false_records import remove_false_records
from pipeline.versioning.git import committed_files
from pipeline.versioning.not_fetched import unfetched_iterations

if TYPE_CHECKING:
    from dvc.repo import Repo

_UNFINISHED = re.compile(r"\.[\w-]{22}\.tmp$")
"""The end of the names that DVC gives to files it is still writing."""


def check_folder(params: Params) -> None:
    """Raise UserError where DVC, which hashes the folder of raw images before any stage, would end in a riddle.

    That is where none is named, or it is not there, or it holds links that lead nowhere.
    """
    if not params.folder:
        raise UserError("folder is null in params.yaml, and DVC needs a folder's path there; run 'redifine set folder=raw'")
    folder = Path(params.folder)
    if not folder.is_dir():
        raise no_raw_folder(folder)
    if params.dataset != "folder":
        return
    broken = sorted(path.name for path in folder.rglob("*") if path.is_symlink() and not path.exists())
    if broken:
        names = ", ".join(map(printable, broken[:5])) + (", ..." if len(broken) > 5 else "")
        raise UserError(f"{folder} has {len(broken)} link(s) that lead nowhere: {names}; remove or fix them and run again")


def check_fetched(root: Path, last: int) -> None:
    """Raise UserError where a remote is set, and some of 0 to `last` that were made are not here: DVC would make them again."""
    with open_repo(root) as repo:
        remote, cache = repo.config["core"].get("remote"), Path(repo.cache.local.path)
    ks = [k for k in unfetched_iterations(root, read_lock(root), cache) if k <= last] if remote else []
    if ks:
        raise UserError(
            f"D_k or M_k of k = {', '.join(map(str, ks))} were made and are not here; 'redifine repro --pull --allow-missing "
            f"measure analyse' goes on without them, 'dvc pull' fetches them from {remote}, plain 'dvc repro' makes them again"
        )


def is_forced(arguments: Sequence[str]) -> bool:
    """Return whether `dvc repro ARGUMENTS` runs its stages, `prepare` among them, whatever has changed."""
    return any(word == "--force" or (word[:1] == "-" and word[1:2] != "-" and "f" in word) for word in arguments)


def repair(root: Path) -> list[str]:
    """Repair dvc.lock and DVC's list of running processes, remove its unfinished files; return a sentence for each.

    Raise UserError when another process works in this clone, or when a file cannot be repaired.
    """
    with open_repo(root) as repo, repo.lock:
        repaired = [*_repair_lock_file(root, repo), *_repair_process_list(root), *_remove_unfinished(root)]
        return [*repaired, *remove_false_records(root)]


def _repair_lock_file(root: Path, repo: Repo) -> list[str]:
    """Replace a dvc.lock that DVC cannot read by the last commit's; what that lacks, DVC knows from its run cache."""
    path = root / LOCK_FILE
    if not path.is_file() or _is_readable(path, repo):
        return []
    if (committed := committed_files(root, "HEAD", [LOCK_FILE]).get(LOCK_FILE)) is not None:
        path.write_bytes(committed)
        if _is_readable(path, repo):
            return ["dvc.lock was torn and is the last commit's again; finished stages come back from DVC's cache"]
    path.unlink()
    return ["dvc.lock was torn and is gone; finished stages come back from DVC's cache"]


def _is_readable(path: Path, repo: Repo) -> bool:
    from dvc.dvcfile import Lockfile
    from dvc.exceptions import DvcException

    try:
        Lockfile(repo, str(path.resolve())).load()
    except DvcException:
        return False
    # Torn in the middle of a line it may be YAML all the same, with a value that DVC cannot use (hash: m). Torn at the end of
    # one it lacks some entries, and DVC looks those stages up in its run cache.
    return path.read_bytes().endswith(b"\n")


def _repair_process_list(root: Path) -> list[str]:
    """.dvc/tmp/rwlock says which process works on which output; processes that have ended are no loss there."""
    from dvc.lock import make_lock

    path = root / ".dvc/tmp/rwlock"
    with make_lock(f"{path}.lock", tmp_dir=str(path.parent)):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        except ValueError:
            path.unlink()
            return ["DVC's list of running processes was torn and is empty now"]
    return []


def _remove_unfinished(root: Path) -> list[str]:
    """Remove the files that DVC was writing into the work tree. Those in the cache stay: another clone may share it."""
    found = [path for place in OUTPUT_FOLDERS for path in (root / place).rglob("*.tmp") if _UNFINISHED.search(path.name)]
    for path in found:
        path.unlink(missing_ok=True)
    return [f"removed {len(found)} file(s) that DVC had not finished"] if found else []
