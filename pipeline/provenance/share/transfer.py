"""Outputs to and from the DVC remote. What has arrived stays, so a transfer that broke off goes on at the next try."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from dvc.exceptions import CheckoutError, DownloadError, DvcException
from dvc.fs import RemoteMissingDepsError
from dvc.fs.callbacks import TqdmCallback
from dvc.lock import LockError
from dvc.repo import Repo
from dvc_data.hashfile.db import HashFileDB
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.transfer import transfer
from dvc_data.index import DataIndexError

from pipeline.core.errors import UserError
from pipeline.versioning.dvc_repo import open_repo
from pipeline.versioning.hashes import damaged_files, first_of

_BACKENDS = frozenset({"aiobotocore", "aiohttp", "asyncssh", "botocore", "gcsfs", "google", "s3fs", "sshfs", "dvc_http"})
"""Libraries behind the remotes: each has exceptions of its own family."""
_UNSAVED = re.compile(r"Can't remove the following unsaved files.*\n(.+)")
"""What DVC says, of no class of its own, before it replaces a file whose content is nowhere else; then, line by line, which."""


def push(root: Path, outputs: Mapping[str, str], remote: str | None) -> int:
    """Send outputs {DVC hash: path} from the cache. Returns how many files went; what is there already does not.

    By hash and not by revision: given a revision, DVC takes a remote's relative path as one from the file system's root.
    When it no longer does, `dvc_data.hashfile` can go, and `Repo.push` sends them.
    Raise UserError when a file is missing here or not what its hash says, or when the remote is read only or cannot be
    reached.
    """
    with open_repo(root) as repo:
        name = remote_name(repo, remote)
        check_writable(repo, remote)
        cache, there = repo.cache.local, existing(repo, list(outputs), remote)
        # What another clone has sent need not be here; what is here is compared file by file.
        wanted = sorted(md5 for md5 in outputs if md5 not in there or cache.exists(md5))
        _check_before(Path(cache.path), {md5: path for md5, path in outputs.items() if md5 not in there})
        with _as_sentences(name):
            store = repo.cloud.get_remote_odb(remote)
            # Not shallow: a folder's files go first and its list last, so that a list stands for a whole folder.
            with TqdmCallback(desc=f"Sending to {name}", unit="file") as progress:
                objects = [HashInfo("md5", md5) for md5 in wanted]
                done = transfer(cache, store, objects, cache_odb=cache, shallow=False, callback=progress)
        if done.failed:
            raise UserError(
                f"{len(done.failed)} file(s) could not be sent to {name}; the rest stays, fix the cause and run this again"
            )
        if left := set(wanted) - existing(repo, wanted, remote):
            raise UserError(
                f"{len(left)} output(s) are incomplete in the cache here; see 'dvc status', repair them with 'dvc repro'"
            )
        return len(done.transferred)


def _check_before(cache: Path, outputs: Mapping[str, str]) -> None:
    if wrong := damaged_files(cache, outputs):
        raise UserError(
            f"DVC's cache holds other bytes than dvc.lock records for {first_of(wrong)}, so nothing was sent; where the work "
            f"tree is right ('redifine verify --all'), remove {wrong[min(wrong)]} and run 'dvc commit', else 'dvc repro'"
        )


def pull(root: Path, targets: Sequence[str], remote: str | None, force: bool, outputs: Mapping[str, str] | None = None) -> int:
    """Fetch `targets` (everything, when empty), as dvc.lock has them, into the work tree. Returns how many files came.

    `outputs` {DVC hash: path} are held against their hashes before they reach the work tree. Raise UserError when one is
    another, when the remote lacks one or cannot be reached, or when a file here would be lost (unless `force`).
    """
    with open_repo(root) as repo, _as_sentences(remote_name(repo, remote)):
        check_reachable(repo, remote)
        # DVC takes relative paths from the current folder.
        paths = [str(root.resolve() / target) for target in targets] or None
        # It remembers what a fetch listed by the output alone: after one file of a folder, the next would seem to be here.
        repo.drop_data_index()
        # Without DVC's lock, which a run may need meanwhile: it only adds to the cache.
        fetched = int(inspect.unwrap(type(repo).fetch)(repo, targets=paths, remote=remote))
        if fetched:
            _check_after(Path(repo.cache.local.path), outputs or {}, remote_name(repo, remote))
        repo.checkout(targets=paths, force=force)
        return fetched


def _check_after(cache: Path, outputs: Mapping[str, str], remote: str) -> None:
    """What is wrong leaves the cache, so that it is fetched again, and is never taken for what it should be."""
    if wrong := damaged_files(cache, outputs):
        for place in wrong.values():
            place.unlink(missing_ok=True)
        raise UserError(
            f"{remote} holds other bytes than dvc.lock records for {first_of(wrong)}, and none of this was put into the work "
            "tree; whoever has the right files removes them there and runs 'redifine share' again"
        )


def check_out_what_is_here(root: Path, force: bool) -> None:
    """Make every output what dvc.lock says, from the cache; one whose content is not in the cache is removed.

    Raise UserError when a file here is in no cache and would be lost (unless `force`).
    """
    with open_repo(root) as repo, _as_sentences("the cache"):
        repo.checkout(force=force, allow_missing=True)


def existing(repo: Repo, hashes: Sequence[str], remote: str | None) -> set[str]:
    """Return those of the DVC hashes that the remote has. A folder's is sent last, so where it is, all of its files are."""
    with _as_sentences(remote_name(repo, remote)):
        return set(check_reachable(repo, remote).oids_exist(list(hashes))) if hashes else set()


def read_object(repo: Repo, md5: str, remote: str | None) -> bytes:
    """Return the content of one file by its hash: from the cache, else from the remote."""
    with _as_sentences(remote_name(repo, remote)):
        cache = repo.cache.local
        store = cache if cache.exists(md5) else repo.cloud.get_remote_odb(remote)
        return bytes(store.fs.cat_file(store.oid_to_path(md5)))


def remote_name(repo: Repo, remote: str | None) -> str:
    """Return the remote's name and address, for messages. Raise UserError when there is no such remote, or no default one."""
    name = remote or repo.config["core"].get("remote")
    if not name:
        raise UserError("no DVC remote is set, so there is nowhere to share; run 'make remote URL=...'")
    if name not in repo.config["remote"]:
        known = ", ".join(sorted(repo.config["remote"])) or "none"
        raise UserError(f"there is no DVC remote {name!r} (known: {known}); run 'make remote URL=...'")
    return f"{name} ({repo.config['remote'][name]['url']})"


def check_writable(repo: Repo, remote: str | None) -> None:
    """Raise UserError for a remote that is only read from: plain HTTP."""
    name = remote_name(repo, remote)
    if repo.config["remote"][name.partition(" ")[0]]["url"].startswith(("http://", "https://")):
        raise UserError(f"the remote {name} is read only; share through another one, set by 'make remote URL=...'")


def check_reachable(repo: Repo, remote: str | None) -> HashFileDB:
    """Return the remote's store of files. Raise UserError when a local folder's place is gone or a web server refuses.

    Raises what the library behind it raises when an SSH server is not the known one; other failures come as it is asked.
    """
    store = repo.cloud.get_remote_odb(remote)
    place = Path(repo.cloud.get_remote(remote).path).parent if store.fs.protocol == "local" else None
    if place is not None and not place.is_dir():
        raise UserError(
            f"the remote {remote_name(repo, remote)} cannot be reached: there is no folder {place}; mount or make it"
        )
    if store.fs.protocol in ("http", "https"):
        _check_web_server(store, remote_name(repo, remote))
    if store.fs.protocol == "ssh":
        _check_host_key(store)
    return store


def _check_host_key(store: HashFileDB) -> None:
    """Compare the server's key with ~/.ssh/known_hosts; it can go when the library behind SSH remotes does so."""
    store.fs.fs_args["known_hosts"] = ()  # asyncssh's own default
    _ = store.fs.fs


def _check_web_server(store: HashFileDB, name: str) -> None:
    """Ask for a file that is nowhere: DVC takes every failure of HTTP for a missing file, and until it does not, this stays.

    Raise UserError when the server wants another login, and what the library behind it raised when there is no answer.
    """
    try:
        store.fs.info(store.oid_to_path("0" * 32))
    except FileNotFoundError as error:
        cause = error.__cause__
        status = getattr(cause, "status", None)
        if status in (401, 407):
            raise UserError(
                f"{name} wants another user or password; give them with 'make remote URL=https://USER:PASSWORD@HOST/PATH'"
            ) from error
        if cause is not None and (status is None or status >= 500):
            raise cause from None


@contextmanager
def _as_sentences(remote: str) -> Iterator[None]:
    """Turn what DVC and the libraries behind a remote raise into a UserError."""
    try:
        yield
    except LockError:
        raise  # `open_repo` knows whose it is
    except (DownloadError, CheckoutError, DataIndexError) as error:
        raise UserError(
            f"{remote} lacks files of what you asked for, or broke off; what has arrived stays, run this again, "
            "or ask for 'redifine share' where the files were made ('redifine ls' shows what is there)"
        ) from error
    except RemoteMissingDepsError as error:
        raise UserError(
            f"{remote} needs a library that is not installed; run 'make remote URL=...' with its address"
        ) from error
    except (DvcException, OSError) as error:
        if lost := _UNSAVED.match(str(error)):
            raise UserError(f"{lost[1]} is in no cache and would be lost; move it away, or give --force") from error
        raise UserError(f"{remote} cannot be used: {_first_line(error)}; {_what_to_check(error)}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _BACKENDS:
            raise
        raise UserError(f"{remote} cannot be reached: {_first_line(error)}; {_what_to_check(error)}") from error


def _what_to_check(error: BaseException) -> str:
    if type(error).__name__ == "HostKeyNotVerifiable":
        return "if that is the right server, connect to it once with 'ssh', which asks whether to trust its key"
    return "check the address, the connection and the credentials"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
