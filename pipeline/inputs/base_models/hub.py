"""Models on the hub: list a repository at one commit, with sizes and hashes, and download its files."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.files import sha256_file
from pipeline.core.guards import is_inner_path
from pipeline.inputs.hub import endpoint, hub_errors, require_online


@dataclass(frozen=True)
class RemoteFile:
    """Size in bytes; the sha256 of a large file, or Git's hash of a small one."""

    size: int
    sha256: str | None
    blob: str | None

    def is_content_of(self, path: Path) -> bool:
        from huggingface_hub.utils.sha import git_hash

        if path.stat().st_size != self.size:
            return False
        if self.sha256:
            return sha256_file(path) == self.sha256
        return self.blob is None or git_hash(path.read_bytes()) == self.blob


@dataclass(frozen=True)
class Remote:
    """A repository at one commit."""

    repository: str
    commit: str
    licence: str | None
    files: Mapping[str, RemoteFile]


def look_up(repository: str, revision: str | None) -> Remote:
    """List a repository at a revision (None: its default branch). Raise UserError when that cannot be had."""
    from huggingface_hub import HfApi

    require_online(repository)
    with hub_errors(repository, revision):
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
    """Download files of a repository to `folder`; what is there already stays, and a file begun is resumed.

    Raise UserError when that fails; what has come so far stays, so that the next call resumes.
    """
    import glob

    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    with hub_errors(remote.repository, remote.commit):
        snapshot_download(
            remote.repository,
            revision=remote.commit,
            local_dir=folder,
            allow_patterns=[glob.escape(name) for name in names],
            endpoint=endpoint(),
        )
