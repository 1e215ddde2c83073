"""Tell what was never fetched from what was lost: what the cache, or Git, still has was here once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.chain.paths import iterations
from pipeline.versioning.dvc_lock import Item, Stage, inputs_of, read_listing, writers
from pipeline.versioning.partial import is_partial
from pipeline.versioning.tracked import committed_paths


@dataclass(frozen=True)
class Absent:
    """Paths that are not here, and need not be."""

    outputs: frozenset[str] = frozenset()
    """Outputs of stages, and files of sets that were fetched in part."""
    inputs: frozenset[str] = frozenset()
    """What the chain started from."""

    def covers(self, path: str) -> bool:
        return lies_in(path, self.outputs) or lies_in(path, self.inputs)


def lies_in(path: str, places: Collection[str]) -> bool:
    """Whether a path is one of `places`, or inside one."""
    return path in places or any(parent.as_posix() in places for parent in PurePosixPath(path).parents)


def read_absent(root: Path, stages: Mapping[str, Stage], base: Mapping[str, Any] | None, cache: Path | None) -> Absent:
    """What dvc.lock records and was never here: neither in the work tree, nor in the `cache`, nor in HEAD.

    `base`: M_0's record, which names its VAE, too.
    """
    if cache is None:
        return Absent()
    committed = committed_paths(root)
    in_git = committed | {parent.as_posix() for path in committed for parent in PurePosixPath(path).parents}
    absent = [path for item, _ in writers(stages) if item.path not in in_git for path in _absent(root, item, cache)]
    named = [base.get(key) for key in ("model", "vae")] if base else []
    started = {item.path for item in inputs_of(stages)} | {path for path in named if path and isinstance(path, str)}
    return Absent(frozenset(absent), frozenset(path for path in started if path not in in_git and not (root / path).exists()))


def made_elsewhere(root: Path, stages: Mapping[str, Stage], cache: Path) -> list[int]:
    """Iterations k of which dvc.lock records a D_k or M_k that is not whole here, nor in the `cache`."""
    sets = (item for item, _ in writers(stages) if item.path.startswith(("data/D_", "models/M_")))
    return iterations(f"{item.path}/" for item in sets if any(_absent(root, item, cache)))


def _absent(root: Path, item: Item, cache: Path) -> Iterator[str]:
    """The output itself when all of it is neither here nor in the cache; of a set fetched in part, such files."""
    here = _is_here(root / item.path)
    if here and not is_partial(root, item.path):
        return
    listing = read_listing(cache, item.md5) if item.is_folder else {"": item.md5}
    if not here and (listing is None or not all(_cached(cache, md5) for md5 in listing.values())):
        yield item.path
    elif here and listing:
        paths = {f"{item.path}/{name}": md5 for name, md5 in listing.items()}
        yield from (path for path, md5 in paths.items() if not (root / path).is_file() and not _cached(cache, md5))


def _is_here(path: Path) -> bool:
    """Whether a file is there, or a folder with a file in it."""
    return path.is_file() or any(inner.is_file() for inner in path.rglob("*"))


def _cached(cache: Path, md5: str) -> bool:
    return (cache / md5[:2] / md5[2:]).is_file()


def not_fetched(outputs: Sequence[str], absent: Absent) -> str:
    """One line on what is not here of a chain's `outputs`, and how to get it; "" when all of it is."""
    ks = iterations(f"{path}/" for path in outputs)
    own = {k: [path for path in outputs if iterations([f"{path}/"]) == [k]] for k in ks}
    whole = [k for k in ks if all(path in absent.outputs for path in own[k])]
    part = [k for k in ks if k not in whole and any(lies_in(path, own[k]) for path in absent.outputs)]
    others = [path for path in outputs if path in absent.outputs and not iterations([f"{path}/"])]
    told = [f"iterations {_listed(whole)}"] if whole else []
    told += [f"parts of {_listed(part)}"] if part else []
    told += [*others, *(f"{path} (no stage makes it)" for path in _outermost(absent.inputs))]
    if not told:
        return ""
    get = f"'redifine get {(whole or part)[0]}' fetches iteration {(whole or part)[0]}, " if whole or part else ""
    return f"not fetched: {', '.join(told)}; {get}'dvc pull' all that stages made"


def _outermost(paths: Collection[str]) -> list[str]:
    """Paths that lie in no other one of them."""
    return [path for path in sorted(paths) if not any(lies_in(path, {other}) for other in paths if other != path)]


def _listed(ks: Sequence[int]) -> str:
    return ", ".join(map(str, ks))
