"""Speak to the model hub: what a repository has at one commit, and its files, with every failure in one sentence."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.files import sha256_file
from pipeline.core.guards import is_inner_path


@dataclass(frozen=True)
class RemoteFile:
    """Size in bytes; the sha256 of a large file, or Git's hash of a small one."""

    size: int
    sha256: str | None
    blob: str | None

    def is_content_of(self, path: Path) -> bool:
        if path.stat().st_size != self.size:
            return False
        if self.sha256:
            return sha256_file(path) == self.sha256
        return self.blob is None or _git_hash(path.read_bytes()) == self.blob


@dataclass(frozen=True)
class Remote:
    """A repository at one commit."""

    repository: str
    commit: str
    licence: str | None
    files: Mapping[str, RemoteFile]


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def endpoint() -> str | None:
    """Another hub than huggingface.co, as HF_ENDPOINT says now: the library reads it only once, when it is imported."""
    return os.environ.get("HF_ENDPOINT") or None


def look_up(repository: str, revision: str | None) -> Remote:
    """List a repository at a revision (None: its default branch). Raises UserError when that cannot be had."""
    from huggingface_hub import HfApi

    _require_online(repository)
    with _explained(repository, revision):
        info = HfApi(endpoint=endpoint()).model_info(repository, revision=revision, files_metadata=True)
    files = {
        row.rfilename: RemoteFile(row.size or 0, row.lfs.sha256 if row.lfs else None, row.blob_id)
        for row in info.siblings or []
        if is_inner_path(row.rfilename)
    }
    if info.sha is None or not files:
        raise UserError(f"{repository} is empty; choose another repository or revision")
    card = info.card_data
    return Remote(repository, info.sha, str(card["license"]) if card and card.get("license") else None, files)


def download(remote: Remote, names: Iterable[str], folder: Path) -> None:
    """Bring files of a repository to `folder`; what is there already stays, and a file begun goes on where it stopped.

    Raises UserError when that fails; what has come so far stays, so that the next call goes on.
    """
    import glob

    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    with _explained(remote.repository, remote.commit):
        snapshot_download(
            remote.repository,
            revision=remote.commit,
            local_dir=folder,
            allow_patterns=[glob.escape(name) for name in names],
            endpoint=endpoint(),
        )


def _require_online(repository: str) -> None:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise UserError(f"HF_HUB_OFFLINE is set, so {repository} cannot be fetched; unset it for this one command")


@contextmanager
def _explained(repository: str, revision: str | None) -> Iterator[None]:
    """Turn what the hub's library raises into one sentence."""
    from huggingface_hub import errors
    from requests import RequestException

    where = endpoint() or "huggingface.co"
    try:
        yield
    except errors.GatedRepoError as error:
        raise UserError(
            f"{repository} is gated: accept its terms at https://huggingface.co/{repository}, log in with 'hf auth login', "
            "and run again"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{repository} has no revision {revision}; name a commit, tag or branch of it") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"there is no model {repository} at {where}, or it is private; check the name, or log in with 'hf auth login'"
        ) from error
    except errors.HFValidationError as error:
        raise UserError(f"{repository} is no name of a repository (owner/name)") from error
    except errors.LocalEntryNotFoundError as error:
        raise _unreachable(repository, where, error.__cause__ or error) from error
    except (RequestException, errors.OfflineModeIsEnabled) as error:
        raise _unreachable(repository, where, error) from error
    except OSError as error:
        raise _interrupted(repository, error) from error


def _unreachable(repository: str, where: str, error: BaseException) -> UserError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    reason = f"it answers {status}" if status else "no connection"
    return UserError(f"{repository} cannot be fetched from {where} ({reason}); check the network, and run again: it goes on")


def _interrupted(repository: str, error: OSError) -> UserError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"the disk is full: {repository} has not come whole; make room, and run again: it goes on")
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return UserError(f"{repository} has not come whole ({reason}); run again: it goes on where it stopped")
