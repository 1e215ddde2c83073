"""Outputs that are not here because they were never fetched: not lost, for neither DVC's cache nor Git ever had them.

A set that `redifine get --images` brought in part is marked, in this clone alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.chain.paths import iterations
from pipeline.core.files import cache_path
from pipeline.versioning.dvc_lock import PathEntry, StageEntry, all_outputs, source_dependencies
from pipeline.versioning.git import committed_paths
from pipeline.versioning.hashes import read_listing

_PARTIAL_SETS = Path(".dvc/tmp/partial_sets")
"""An empty file for each set of which files were left out; DVC keeps this folder out of Git."""


@dataclass(frozen=True)
class NotFetched:
    """Paths that are missing and are no loss, because they were never fetched."""

    outputs: frozenset[str] = frozenset()
    """Outputs of stages, and files of sets that were fetched in part."""
    inputs: frozenset[str] = frozenset()
    """What the chain started from."""

    def covers(self, path: str) -> bool:
        return lies_in(path, self.outputs) or lies_in(path, self.inputs)


def lies_in(path: str, places: Collection[str]) -> bool:
    """Return whether a path is one of `places`, or inside one."""
    return path in places or any(parent.as_posix() in places for parent in PurePosixPath(path).parents)


def find_not_fetched(
    root: Path, stages: Mapping[str, StageEntry], base: Mapping[str, Any] | None, cache: Path | None
) -> NotFetched:
    """Return what dvc.lock records and is neither in the work tree, nor in the `cache`, nor in HEAD.

    `base`: M_0's record, which names its VAE, too.
    """
    if cache is None:
        return NotFetched()
    committed = committed_paths(root)
    in_git = committed | {parent.as_posix() for path in committed for parent in PurePosixPath(path).parents}
    outputs = [path for out, _ in all_outputs(stages) if out.path not in in_git for path in _missing_files(root, out, cache)]
    named = [base.get(key) for key in ("model", "vae")] if base else []
    inputs = {dep.path for dep in source_dependencies(stages)} | {path for path in named if path and isinstance(path, str)}
    return NotFetched(
        frozenset(outputs), frozenset(path for path in inputs if path not in in_git and not (root / path).exists())
    )


def unfetched_iterations(root: Path, stages: Mapping[str, StageEntry], cache: Path) -> list[int]:
    """Return the iterations k of which dvc.lock records a D_k or M_k that is complete neither here nor in the `cache`."""
    outputs = (out for out, _ in all_outputs(stages) if out.path.startswith(("data/D_", "models/M_")))
    return iterations(f"{out.path}/" for out in outputs if any(_missing_files(root, out, cache)))


def _missing_files(root: Path, output: PathEntry, cache: Path) -> Iterator[str]:
    """Yield the output itself when all of it is neither here nor in the cache; of a set fetched in part, such files."""
    here = _is_here(root / output.path)
    if here and not is_partial(root, output.path):
        return
    listing = read_listing(cache, output.md5) if output.is_folder else {"": output.md5}
    if not here and (listing is None or not all(cache_path(cache, md5).is_file() for md5 in listing.values())):
        yield output.path
    elif here and listing:
        paths = {f"{output.path}/{name}": md5 for name, md5 in listing.items()}
        yield from (path for path, md5 in paths.items() if not (root / path).is_file() and not cache_path(cache, md5).is_file())


def _is_here(path: Path) -> bool:
    """Return whether a file is there, or a folder with a file in it."""
    return path.is_file() or any(inner.is_file() for inner in path.rglob("*"))


def describe_not_fetched(outputs: Sequence[str], missing: NotFetched) -> str:
    """Say in one line what of a chain's `outputs` was not fetched, and how to get it; "" when all of it is here."""
    ks = iterations(f"{path}/" for path in outputs)
    of_k = {k: [path for path in outputs if iterations([f"{path}/"]) == [k]] for k in ks}
    complete = [k for k in ks if all(path in missing.outputs for path in of_k[k])]
    partial = [k for k in ks if k not in complete and any(lies_in(path, of_k[k]) for path in missing.outputs)]
    others = [path for path in outputs if path in missing.outputs and not iterations([f"{path}/"])]
    parts = [f"iterations {_listed(complete)}"] if complete else []
    parts += [f"parts of {_listed(partial)}"] if partial else []
    parts += [*others, *(f"{path} (no stage makes it)" for path in _outermost(missing.inputs))]
    if not parts:
        return ""
    first = (complete or partial)[:1]
    get = f"'redifine get {first[0]}' fetches iteration {first[0]}, " if first else ""
    return f"not fetched: {', '.join(parts)}; {get}'dvc pull' all that stages made"


def _outermost(paths: Collection[str]) -> list[str]:
    """Return paths that lie in no other one of them."""
    return [path for path in sorted(paths) if not any(lies_in(path, {other}) for other in paths if other != path)]


def _listed(ks: Sequence[int]) -> str:
    return ", ".join(map(str, ks))


def mark_partial(root: Path, images: Path) -> None:
    """Mark the set `images` (data/D_3) as fetched in part."""
    (root / _PARTIAL_SETS).mkdir(parents=True, exist_ok=True)
    (root / _PARTIAL_SETS / images.name).touch()


def unmark_partial(root: Path, images: Path) -> None:
    """Take back what `mark_partial` did."""
    (root / _PARTIAL_SETS / images.name).unlink(missing_ok=True)


def is_partial(root: Path, images: str) -> bool:
    """Return whether the set was fetched in part; files of it may have come since."""
    return (root / _PARTIAL_SETS / Path(images).name).is_file()
