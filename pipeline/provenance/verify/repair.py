"""Bring back what dvc.lock records where the work tree or DVC's cache holds other bytes.

The right bytes come from the work tree, else from a DVC remote, else the stage computes them again in a scratch copy. They are
taken only when their checksum is the recorded one, so a repair never changes a record.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.files import atomic_file, cache_path
from pipeline.provenance.lineage.ancestry import inputs
from pipeline.provenance.verify.recompute import recorded_params
from pipeline.provenance.verify.scratch import run_stages, scratch_project
from pipeline.versioning.cache_objects import damaged_objects, file_numbers, put_object, recorded_objects, touched_objects
from pipeline.versioning.dvc_lock import StageEntry, all_outputs, read_lock
from pipeline.versioning.dvc_repo import open_repo
from pipeline.versioning.hashes import (
    FOLDER_SUFFIX,
    Digest,
    digest_bytes,
    digest_file,
    digest_files,
    files_below,
    folder_md5,
    list_of_files,
    read_listing,
)
from pipeline.versioning.not_fetched import find_not_fetched
from pipeline.versioning.remote_objects import RemoteObjects


@dataclass
class Repair:
    """What was done, in sentences, and what is left to do."""

    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def repair_all(root: Path, runner: str) -> Repair:
    """Repair every output; `runner` is as for `run_stages`. Raise UserError while another process works in this clone."""
    stages = read_lock(root)
    with open_repo(root) as repo, repo.lock:
        work = _Repairer(root, stages, Path(repo.cache.local.path), RemoteObjects(repo))
        work.read()
        for _ in range(2):  # the second time with the files of folders whose lists came back in the first
            work.objects |= recorded_objects(stages, work.cache)
            work.take_out(damaged_objects(work.cache, work.objects, file_numbers(root, work.digests)))
            work.find_elsewhere()
        work.compute_again(runner)
        work.write_back()
        work.result.left += work.remote.failures
    return work.result


def repair_touched(root: Path) -> Repair:
    """Do as `repair_all` does with what was written to in the cache since DVC noted it, and compute nothing: quick where all is
    well. An output that is nowhere leaves the work tree, so that DVC makes it again.
    """
    stages = read_lock(root)
    with open_repo(root) as repo, repo.lock:
        cache = Path(repo.cache.local.path)
        touched = touched_objects(repo, recorded_objects(stages, cache))
        if not touched:
            return Repair()
        work = _Repairer(root, stages, cache, RemoteObjects(repo))
        work.read()
        work.take_out(touched)
        work.find_elsewhere()
        work.write_back()
        for md5 in sorted(work.missing & touched):
            path = work.objects[md5]
            if any(_writes(stage, path) for stage in stages.values()) and not md5.endswith(FOLDER_SUFFIX):
                (root / path).unlink(missing_ok=True)
                work.result.done.append(f"{path} is nowhere else, so its stage makes it again")
    return work.result


class _Repairer:
    """One repair, step by step. `objects`: {md5: path} of all content that dvc.lock records; `missing`: what is looked for."""

    def __init__(self, root: Path, stages: Mapping[str, StageEntry], cache: Path, remote: RemoteObjects) -> None:
        self.root, self.stages, self.cache, self.remote = root, stages, cache, remote
        self.objects = recorded_objects(stages, cache)
        self.not_fetched = find_not_fetched(root, stages, None, cache)
        self.digests: dict[str, Digest] = {}
        self.missing: set[str] = set()
        self.result = Repair()

    def read(self) -> None:
        """Hash the outputs in the work tree."""
        paths = [path for item, _ in all_outputs(self.stages) for path in files_below(self.root, item.path)]
        self.digests = digest_files(self.root, paths)

    def take_out(self, damaged: set[str]) -> None:
        """Remove damaged objects from the cache, and look for what the work tree and the cache lack."""
        for md5 in sorted(damaged):
            cache_path(self.cache, md5).unlink(missing_ok=True)
            self.result.done.append(f"{cache_path(self.cache, md5)} was not {self.objects[md5]}, and is out of the cache")
        wrong = {md5 for path, md5 in self._expected() if path not in self.digests or self.digests[path].md5 != md5}
        self.missing |= {md5 for md5 in damaged | wrong if not cache_path(self.cache, md5).is_file()}

    def find_elsewhere(self) -> None:
        """Put what is missing into the cache: from the work tree, else from a remote."""
        by_md5 = {digest.md5: path for path, digest in self.digests.items()}
        for md5 in sorted(self.missing):
            content = self._listing(md5) if md5.endswith(FOLDER_SUFFIX) else None
            if md5 in by_md5:
                content = (self.root / by_md5[md5]).read_bytes()
            where = "the work tree"
            if content is None:
                content, where = self.remote.read(md5), self.remote.name
            if content is not None and _md5_of(content, md5) == md5:
                self._found(md5, content, where)

    def _found(self, md5: str, content: bytes, where: str) -> None:
        put_object(self.cache, md5, content)
        self.missing.discard(md5)
        self.result.done.append(f"{self.objects[md5]}: from {where}")

    def _listing(self, md5: str) -> bytes | None:
        """Return the list of files of a folder that is right in the work tree."""
        start = f"{self.objects[md5]}/"
        files = {path.removeprefix(start): digest.md5 for path, digest in self.digests.items() if path.startswith(start)}
        return list_of_files(files) if folder_md5(files) == md5 else None

    def compute_again(self, runner: str) -> None:
        """Run the stages of what is still missing in a scratch copy each, first what ran first; keep what is as recorded."""
        for stage in _in_order(self.stages):
            wanted = {md5 for md5 in self.missing if _writes(stage, self.objects[md5])}
            if not wanted:
                continue
            if lacking := [item.path for item in inputs(stage) if not self._is_right(item.path, item.md5)]:
                self.result.left.append(f"{stage.name} cannot be computed again: {lacking[0]} is not here as recorded")
                continue
            self._compute(stage, wanted, runner)
            if left := wanted & self.missing:
                again = f"'redifine repro --force --single-item {stage.name}' and then 'redifine repro'"
                self.result.left.append(
                    f"{stage.name} makes other bytes today than it recorded of {self.objects[min(left)]} (another machine, "
                    f"library or code); {again} make it and what builds on it anew"
                )
        for md5 in sorted(self.missing):
            path = self.objects[md5]
            if not any(_writes(stage, path) for stage in self.stages.values()):
                self.result.left.append(
                    f"{path} is an input of yours that was written to, and its recorded content is nowhere else; put the right "
                    "file there, or take it as it is with 'dvc add' and 'redifine repro'"
                )

    def _compute(self, stage: StageEntry, wanted: set[str], runner: str) -> None:
        words = shlex.split(stage.command)
        if words[1:2] != ["-m"]:  # python -m PACKAGE COMMAND...
            return
        params, _ = recorded_params(self.root, {stage.name: stage})
        self.write_back()
        with scratch_project(self.root, params, [item.path for item in stage.outs]) as scratch:
            try:
                run_stages(runner, scratch, [words[3:]])
            except UserError as error:
                self.result.left.append(str(error))
                return
            for item in stage.outs:
                made = {path: (scratch / path).read_bytes() for path in files_below(scratch, item.path)}
                if item.is_folder:
                    names = {path.removeprefix(f"{item.path}/"): digest_bytes(content).md5 for path, content in made.items()}
                    made[item.path] = list_of_files(names)
                for path, content in made.items():
                    md5 = item.md5 if path == item.path else digest_bytes(content).md5
                    if md5 in wanted and _md5_of(content, md5) == md5:
                        self._found(md5, content, f"{stage.name}, computed again")

    def _is_right(self, path: str, md5: str) -> bool:
        """Return whether an input is in the work tree as a stage read it."""
        if not md5.endswith(FOLDER_SUFFIX):
            found = digest_file(self.root / path)
            return found is not None and found.md5 == md5
        files = {name: digest_file(self.root / name) for name in files_below(self.root, path)}
        return folder_md5({name.removeprefix(f"{path}/"): found.md5 for name, found in files.items() if found}) == md5

    def write_back(self) -> None:
        """Copy into the work tree what is wrong or lost there and is in the cache: a copy, so no later write reaches both."""
        for path, md5 in self._expected():
            present = self.digests.get(path)
            place = cache_path(self.cache, md5)
            if (present is not None and present.md5 == md5) or not place.is_file():
                continue
            content = place.read_bytes()
            if (found := digest_bytes(content)).md5 != md5:
                continue
            (self.root / path).unlink(missing_ok=True)
            with atomic_file(self.root / path) as file:
                file.write(content)
            self.digests[path] = found
            self.result.done.append(f"{path} is as recorded again")

    def _expected(self) -> Iterator[tuple[str, str]]:
        """Yield (path, md5) of every file of the outputs that is no part of what was never fetched."""
        for item, _ in all_outputs(self.stages):
            listing = (read_listing(self.cache, item.md5) or {}) if item.is_folder else {"": item.md5}
            for name, md5 in listing.items():
                path = f"{item.path}/{name}".rstrip("/")
                if md5 and not self.not_fetched.covers(path):
                    yield path, md5


def _md5_of(content: bytes, like: str) -> str:
    md5 = digest_bytes(content).md5
    return md5 + FOLDER_SUFFIX if like.endswith(FOLDER_SUFFIX) else md5


def _writes(stage: StageEntry, path: str) -> bool:
    return any(path == item.path or path.startswith(f"{item.path}/") for item in stage.outs)


def _in_order(stages: Mapping[str, StageEntry]) -> Sequence[StageEntry]:
    """Return stages in an order in which they can run."""
    graph = {
        name: [other.name for other in stages.values() for item in inputs(stage) if _writes(other, item.path)]
        for name, stage in stages.items()
    }
    try:
        return [stages[name] for name in TopologicalSorter(graph).static_order()]
    except CycleError:
        return list(stages.values())
