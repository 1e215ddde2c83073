"""Read a chain's files as Git and DVC hold them for a revision: from the commit, DVC's cache, or the default remote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.chain.shards import ManifestRow, is_in_shard
from pipeline.core.errors import UserError
from pipeline.versioning.git import ask_git

WORKSPACE = "workspace"


class Revision:
    """A revision of the project at `root`; `commit` is None for the work tree."""

    def __init__(self, name: str, commit: str | None, root: Path) -> None:
        from dvc.api import DVCFileSystem

        self.name, self.commit = name, commit
        self._files = DVCFileSystem(str(root), rev=commit)

    def __str__(self) -> str:
        """Return how messages name it: "cfg2.5 (b844304)"."""
        if self.commit is None or self.commit.startswith(self.name):
            return self.name
        return f"{self.name} ({self.commit[:7]})"

    def read(self, path: Path) -> bytes:
        """Return content of a file. Raise UserError when it is recorded but cannot be had, or was never recorded."""
        return self._read(path, None, None)

    def read_image(self, folder: Path, row: ManifestRow) -> bytes:
        """Return the PNG of one image of the set in `folder`, loose or in a shard. Raise UserError as `read` does."""
        if not is_in_shard(row):
            return self.read(folder / row["file"])
        return self._read(folder / row["shard"], row["offset"], row["offset"] + row["size"])

    def _read(self, path: Path, start: int | None, end: int | None) -> bytes:
        """Return bytes start..end of a file."""
        from dvc.exceptions import DvcException
        from dvc_data.index import DataIndexError

        try:
            return bytes(self._files.cat_file(path.as_posix(), start=start, end=end))
        except (OSError, DvcException, DataIndexError) as error:
            if not self.has(path):
                raise UserError(f"{self} has no {path}; name a revision whose dvc.lock records it") from error
            raise UserError(
                f"{self} lacks {path} here: neither DVC's cache nor its default remote has it; run 'dvc push' where it was "
                f"made and 'dvc fetch --all-commits' here (for an experiment 'dvc exp push' and 'dvc exp pull')"
            ) from error

    def has(self, path: Path) -> bool:
        """Tell whether the file is in Git or the work tree, or is, or lies in, an output with a hash in dvc.lock."""
        from dvc_data.index import DataIndexError

        try:
            info = self._files.info(path.as_posix())
        except FileNotFoundError:
            return False
        except DataIndexError:  # the folder has a hash, and its list of files is nowhere
            return True
        return "fs_info" in info or bool(info.get("md5"))


@contextmanager
def _as_sentences(root: Path) -> Iterator[None]:
    """Turn what DVC says of a broken project into a UserError. Ask Git first: DVC's libraries fail in another owner's clone."""
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.scm import SCMError

    ask_git(root, "rev-parse", "--git-dir")
    try:
        yield
    except NotDvcRepoError as error:
        raise UserError(f"{root} is no DVC project; run in the project's folder") from error
    except SCMError as error:
        raise UserError(f"revisions are kept in Git, and it says: {error}; run in a clone of the project") from error
    except DvcException as error:
        raise UserError(f"DVC cannot read the project at {root}: {error}") from error


def open_revisions(names: list[str], root: Path) -> list[Revision]:
    """Resolve commits, branches, tags, experiments' names and "workspace", each commit once.

    Raise UserError for an unknown name and where there is no DVC project or no Git.
    """
    from dvc.repo import Repo

    with _as_sentences(root), Repo(str(root)) as repo:
        commits = [None if name == WORKSPACE else _resolve(repo, name) for name in names]
        first_named = dict(reversed(list(zip(commits, names, strict=True))))
        return [Revision(first_named[commit], commit, root) for commit in dict.fromkeys(commits)]


def _resolve(repo: object, name: str) -> str:
    from dvc.scm import RevError, resolve_rev

    try:
        return str(resolve_rev(repo.scm, name))  # type: ignore[attr-defined]
    except RevError as error:
        raise UserError(
            f"{name!r} is no commit, branch, tag or experiment here; see 'git branch -a', 'git tag' and 'dvc exp list'"
        ) from error


def experiments_of_head(root: Path) -> list[str]:
    """Return names of the experiments that started from HEAD, sorted. Raise UserError where there are none."""
    from dvc.repo import Repo

    with _as_sentences(root), Repo(str(root)) as repo:
        names = sorted(name for found in repo.experiments.ls().values() for name, _ in found)
    if not names:
        raise UserError("HEAD has no experiments; run one with 'redifine exp run -S cfg=2.5', or name revisions instead")
    return names
