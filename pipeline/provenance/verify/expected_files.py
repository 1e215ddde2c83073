"""Compare the files that are there with the hashes in dvc.lock."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.provenance.verify.findings import Finding
from pipeline.versioning.dvc_lock import LOCK_FILE, StageEntry, all_outputs, source_dependencies
from pipeline.versioning.git import changed_files
from pipeline.versioning.hashes import Digest, folder_md5, read_listing
from pipeline.versioning.not_fetched import NotFetched

RESTORE = "'redifine verify --all --repair' brings it back: from DVC's cache, a remote, or computed again"


@dataclass
class ExpectedFiles:
    """What dvc.lock says that there must be."""

    files: dict[str, str] = field(default_factory=dict)
    """{path: md5}"""
    folders: dict[str, str] = field(default_factory=dict)
    """{path: md5 of the list} of folders whose list of files is not at hand."""
    listed: dict[str, int] = field(default_factory=dict)
    """{path: number of files} of folders whose files are all in `files`."""

    def without(self, not_fetched: NotFetched) -> ExpectedFiles:
        """Return what there must be where all that was never fetched is left out."""
        if not not_fetched.outputs and not not_fetched.inputs:
            return self
        files = {path: md5 for path, md5 in self.files.items() if not not_fetched.covers(path)}
        folders = {path: md5 for path, md5 in self.folders.items() if not not_fetched.covers(path)}
        listed = {path: count for path, count in self.listed.items() if not not_fetched.covers(path)}
        return ExpectedFiles(files, folders, listed)

    def covers(self, path: str) -> bool:
        return path in self.files or any(path.startswith(f"{folder}/") for folder in self.folders)


def expected_files(stages: Mapping[str, StageEntry], cache: Path | None) -> ExpectedFiles:
    """Return all outputs, and the inputs that no stage wrote and that are not code (models, raw images)."""
    expected = ExpectedFiles()
    for item in [*(item for item, _ in all_outputs(stages)), *source_dependencies(stages)]:
        if item.md5 and not item.is_folder:
            expected.files[item.path] = item.md5
        elif item.md5 and (listing := read_listing(cache, item.md5)) is not None:
            expected.listed[item.path] = len(listing)
            expected.files |= {f"{item.path}/{name}": md5 for name, md5 in listing.items()}
        elif item.md5:
            expected.folders[item.path] = item.md5
    return expected


def lock_findings(stages: Mapping[str, StageEntry], expected: ExpectedFiles) -> Iterator[Finding]:
    """Report where dvc.lock has no hash, or its stages do not fit together: one read another content than the other wrote."""
    outs = {item.path: (item, stage) for item, stage in all_outputs(stages)}
    for item, stage in outs.values():
        if not item.md5:
            yield Finding(LOCK_FILE, "damaged", f"it has no hash of {item.path}, which {stage.name} wrote; run 'dvc repro'")
    for stage in stages.values():
        for item in stage.deps:
            if item.path in outs:
                written, writer = outs[item.path][0].md5, outs[item.path][1].name
            else:
                written, writer = expected.files.get(item.path, item.md5), "the stage that wrote it"
            if written != item.md5 and not item.is_code:
                yield Finding(
                    LOCK_FILE, "changed", f"{stage.name} ran with another {item.path} than {writer} left there; run 'dvc repro'"
                )


def file_findings(expected: ExpectedFiles, digests: Mapping[str, Digest], present: Collection[str]) -> Iterator[Finding]:
    """Missing, changed and swapped files of those whose hash is at hand; a folder that is gone as a whole counts once."""
    gone = {folder for folder in expected.listed if not any(path.startswith(f"{folder}/") for path in present)}
    for folder in gone:
        yield Finding(folder, "missing", f"the folder with its {expected.listed[folder]} files is not there; {RESTORE}")
    owner = {md5: path for path, md5 in sorted(expected.files.items(), reverse=True)}
    for path, md5 in expected.files.items():
        digest = digests.get(path)
        if (digest is None or digest.md5 != md5) and not any(path.startswith(f"{folder}/") for folder in gone):
            yield _wrong(path, digest, path in present, owner)


def folder_findings(expected: ExpectedFiles, digests: Mapping[str, Digest], root: Path) -> Iterator[Finding]:
    """Report on folders without a list of their files: named by the files that Git holds otherwise, else as a whole."""
    for folder, md5 in expected.folders.items():
        files = _inside(folder, digests)
        if folder_md5(files) == md5:
            continue
        changed = changed_files(root, folder)
        for path, there in changed.items():
            yield Finding(
                path, "changed" if there else "missing", "it is not what Git's HEAD holds; 'git checkout' restores it"
            )
        if not changed and files:
            yield Finding(folder, "changed", f"its files are not those of {LOCK_FILE}, and no list tells which ones")
        elif not changed:
            yield Finding(folder, "missing", f"the folder is not there, or empty; {RESTORE}")


def verified_files(expected: ExpectedFiles, digests: Mapping[str, Digest]) -> dict[str, bool]:
    """Return {path: whether it is what dvc.lock records}; files of a folder that is wrong as a whole are left out."""
    verified = {path: path in digests and digests[path].md5 == md5 for path, md5 in expected.files.items()}
    for folder, md5 in expected.folders.items():
        files = _inside(folder, digests)
        if folder_md5(files) == md5:
            verified |= {f"{folder}/{name}": True for name in files}
    return verified


def _inside(folder: str, digests: Mapping[str, Digest]) -> dict[str, str]:
    """Return {path below a folder: md5}"""
    start = f"{folder}/"
    return {path.removeprefix(start): digest.md5 for path, digest in digests.items() if path.startswith(start)}


def _wrong(path: str, digest: Digest | None, present: bool, owner: Mapping[str, str]) -> Finding:
    if digest is None and present:
        return Finding(path, "damaged", "it cannot be read")
    if digest is None:
        return Finding(path, "missing", f"it is not there; {RESTORE}")
    other = owner.get(digest.md5, path)
    if other != path:
        return Finding(path, "swapped", f"it holds the content of {other}; {RESTORE}")
    return Finding(path, "changed", f"its md5 is not the one in {LOCK_FILE}; {RESTORE}")


def extra_findings(expected: ExpectedFiles, outputs: Iterable[str]) -> Iterator[Finding]:
    """Report files where the stages write that no stage of dvc.lock wrote."""
    for path in outputs:
        if not expected.covers(path):
            yield Finding(path, "extra", f"no stage in {LOCK_FILE} wrote it; move it away")
