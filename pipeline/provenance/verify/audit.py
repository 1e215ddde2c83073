"""Audit a whole chain: every file's hash against every record of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.chain.paths import OUTPUTS, iterations
from pipeline.core.errors import UserError
from pipeline.core.files import cache_path
from pipeline.provenance.verify import consistency
from pipeline.provenance.verify.expected_files import (
    RESTORE,
    ExpectedFiles,
    expected_files,
    extra_findings,
    file_findings,
    folder_findings,
    lock_findings,
    verified_files,
)
from pipeline.provenance.verify.findings import Finding
from pipeline.provenance.verify.recorded_settings import setting_findings
from pipeline.provenance.verify.records import Records, read_records
from pipeline.provenance.verify.shard_audit import digest_images, shard_findings, shard_of, with_images
from pipeline.versioning.cache_objects import damaged_objects, file_numbers, recorded_objects
from pipeline.versioning.dvc_lock import (
    LOCK_FILE,
    StageEntry,
    all_outputs,
    chain_iterations,
    of_chain,
    read_lock,
    read_lock_at,
)
from pipeline.versioning.false_records import false_records
from pipeline.versioning.git import changed_files
from pipeline.versioning.hashes import Digest, cache_folder, digest_files, files_below
from pipeline.versioning.leftovers import find_leftovers, is_left_over
from pipeline.versioning.not_fetched import NotFetched, describe_not_fetched, find_not_fetched

_SETS_AND_MODELS = ("data/D_", "models/M_")
_LISTS = (".jsonl", ".json", ".tar", LOCK_FILE)
"""Files of which a second finding says more: which line, which key, which caption."""


@dataclass(frozen=True)
class Audit:
    """What an audit read and found."""

    findings: tuple[Finding, ...]
    files: int
    size: int
    """Bytes."""
    unrecorded: tuple[str, ...]
    """Files of which no record holds a hash."""
    not_fetched: tuple[str, ...]
    """Outputs, and files of a set that was fetched in part, that were never here; inputs that are not here."""
    note: str
    """What is not fetched, and how to get it, in one line; "" when all is here."""
    leftovers: str
    """Which iterations are left over from a longer chain, and how to remove them; "" where none is."""
    uncommitted: tuple[str, ...]
    """Stages of which dvc.lock does not hold what Git's HEAD does: who changes both it and a file is not found out."""


def audit(root: Path) -> Audit:
    """Hash every file of the chain below `root`. Raise UserError where there is no chain, or nothing of it was fetched."""
    stages, damaged = _lock(root)
    left = None if damaged else find_leftovers(root)
    cache = cache_folder(root) if stages else None
    outputs = [path for path in _outputs(root) if left is None or not is_left_over(root, path, left, cache)]
    if not outputs and not stages:
        raise UserError(
            f"{root} holds no chain: no data/, models/M_k or {LOCK_FILE}; run in the project's folder, or 'dvc pull'"
        )
    recorded = [item.path for item, _ in all_outputs(stages)]
    records, unreadable = read_records(root, iterations([*outputs, *(f"{path}/" for path in recorded)]))
    missing = find_not_fetched(root, stages, records.base, cache)
    if missing.outputs and not any(path.startswith(_SETS_AND_MODELS) for path in outputs):
        raise UserError(f"{root} holds no image set and no model yet; 'redifine get K' fetches an iteration, 'dvc pull' all")
    expected = expected_files(stages, cache).without(missing)
    present = list(dict.fromkeys([*outputs, *_inputs(root, expected, records)]))
    digests = digest_files(root, present)
    found = [*damaged, *unreadable, *file_findings(expected, digests, present), *folder_findings(expected, digests, root)]
    found += lock_findings(stages, expected)
    found += _cache_findings(root, stages, cache, digests)
    if stages:
        found += extra_findings(expected, outputs)
    shards = shard_of(records)
    verified = verified_files(expected, digests)
    found += own_findings(records, digests, verified, stages, shards)
    found += setting_findings(records, stages, with_images(verified, shards))
    found += [
        Finding(LOCK_FILE, "changed", f"{false}; run 'redifine repro'") for false in (false_records(root) if stages else ())
    ]
    found = [
        finding for finding in found if not (finding.kind == "missing" and _was_not_fetched(finding.path, missing, shards))
    ]
    known = _recorded(records)
    unrecorded = tuple(path for path in outputs if path not in known and not expected.covers(path)) if not stages else ()
    return Audit(
        findings=_without_echoes(found),
        files=len(digests),
        size=sum(digest.size for digest in digests.values()),
        unrecorded=unrecorded,
        not_fetched=tuple(sorted(missing.outputs | missing.inputs)),
        note=describe_not_fetched(recorded, missing),
        leftovers=str(left or ""),
        uncommitted=_uncommitted(root, stages),
    )


def _cache_findings(
    root: Path, stages: Mapping[str, StageEntry], cache: Path | None, digests: Mapping[str, Digest]
) -> Iterator[Finding]:
    """Report what DVC's cache holds under a checksum that is not its own: DVC itself would bring it into the work tree."""
    if cache is None:
        return
    objects = recorded_objects(stages, cache)
    for md5 in damaged_objects(cache, objects, file_numbers(root, digests)):
        place = cache_path(cache, md5)
        name = place.relative_to(root).as_posix() if place.is_relative_to(root) else str(place)
        yield Finding(name, "damaged", f"DVC's own copy of {objects[md5]} has other bytes than its name says; {RESTORE}")


def _lock(root: Path) -> tuple[dict[str, StageEntry], list[Finding]]:
    if changed_files(root, LOCK_FILE).get(LOCK_FILE) is False:
        return {}, [Finding(LOCK_FILE, "missing", "it is not there, and HEAD holds it; 'git checkout dvc.lock' restores it")]
    try:
        return read_lock(root), []
    except UserError as error:
        return {}, [Finding(LOCK_FILE, "damaged", str(error))]


def _outputs(root: Path) -> list[str]:
    """Return every file in the places where stages write, but for DVC's own .gitignore beside its outputs."""
    tops = (path.relative_to(root).as_posix() for pattern in OUTPUTS for path in sorted(root.glob(pattern)))
    return [path for top in tops for path in files_below(root, top) if not path.endswith("/.gitignore")]


def _inputs(root: Path, expected: ExpectedFiles, records: Records) -> Iterator[str]:
    """Yield files that the chain started from: recorded ones that are there, and M_0's."""
    for path in (*expected.files, *(consistency.base_paths(records.base) if records.base else ())):
        if (root / path).exists():
            yield path
    for folder in expected.folders:
        yield from files_below(root, folder)


def own_findings(
    records: Records,
    digests: Mapping[str, Digest],
    verified: Mapping[str, bool],
    stages: Mapping[str, StageEntry],
    shards: Mapping[str, str],
) -> Iterator[Finding]:
    """Whatever the chain's own records, without dvc.lock, tell; `shards` says in which shard an image is."""
    seeds = {stage.params["seed"] for name, stage in stages.items() if name.startswith("sample@") and "seed" in stage.params}
    digests, verified = {**digests, **digest_images(records)}, with_images(verified, shards)
    found = [
        *consistency.image_findings(records, digests, verified, shards),
        *consistency.prompt_findings(records, verified),
        *consistency.row_findings(records, seeds.pop() if len(seeds) == 1 else None),
        *consistency.model_findings(records, digests, verified),
    ]
    yield from found
    doubted = {finding.path for finding in found} | {path for path, is_verified in verified.items() if not is_verified}
    yield from shard_findings(records, digests, verified, doubted)


def _was_not_fetched(path: str, missing: NotFetched, shards: Mapping[str, str]) -> bool:
    """Return whether a file, or the shard that an image is in, was never fetched."""
    return missing.covers(path) or (path in shards and missing.covers(shards[path]))


def _uncommitted(root: Path, stages: Mapping[str, StageEntry]) -> tuple[str, ...]:
    if LOCK_FILE not in changed_files(root, LOCK_FILE):
        return ()
    with suppress(UserError):
        held = of_chain(read_lock_at(root, "HEAD") or {}, chain_iterations(root))
        differing = tuple(sorted(name for name in {*stages, *held} if stages.get(name) != held.get(name)))
        return differing or (LOCK_FILE,)  # its other lines
    return ()


def _recorded(records: Records) -> set[str]:
    """Return files whose sha256 one of the chain's own records holds."""
    layout = records.layout
    images = {f"data/D_{k}/{row['file']}" for k, rows in records.manifests.items() for row in rows}
    trained = {records.name(path) for k in records.lineages for path in (layout.lora(k), layout.training_set(k))}
    lists = {records.name(path) for k in records.manifests for path in (layout.manifest(k), layout.lineage(k))}
    return images | trained | lists | {records.name(layout.prompts), records.name(layout.base_record())}


def _without_echoes(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return each file's first finding, and of lists the further ones too; in the order of their paths."""
    kept: dict[str, list[Finding]] = {}
    for finding in dict.fromkeys(findings):
        others = kept.setdefault(finding.path, [])
        if not others or finding.path.endswith(_LISTS):
            others.append(finding)
    return tuple(finding for path in sorted(kept) for finding in kept[path])
