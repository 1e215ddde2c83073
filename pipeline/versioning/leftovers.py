"""What iterations that are no longer in params.yaml have left: entries in dvc.lock, and outputs in the work tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.chain.paths import OUTPUTS, iteration_of
from pipeline.core.errors import UserError
from pipeline.core.files import cache_path, remove_folder, write_text
from pipeline.versioning.dvc_lock import LOCK_FILE, all_outputs, chain_iterations, read_all_stages
from pipeline.versioning.dvc_repo import open_repo
from pipeline.versioning.hashes import digest_file, files_below
from pipeline.versioning.not_fetched import lies_in
from pipeline.versioning.run_at_work import check_no_run


@dataclass(frozen=True)
class Leftovers:
    """`stages` of dvc.lock and `outputs` in the work tree (files and folders) of the iterations `ks`, beyond `last`."""

    last: int
    ks: tuple[int, ...]
    stages: tuple[str, ...]
    outputs: tuple[str, ...]
    recorded: frozenset[str]
    """Outputs that those stages wrote."""

    def __str__(self) -> str:
        return (
            f"{_named(self.ks)} left over: params.yaml lists 1 to {self.last}; 'redifine prune' removes that, and "
            "a line more under iterations makes one a part of the chain again"
        )


def find_leftovers(root: Path) -> Leftovers | None:
    """Return what is left; None where that is nothing, or params.yaml does not tell. Raise UserError for a damaged dvc.lock."""
    ks = chain_iterations(root)
    if ks is None:
        return None
    gone = {name: stage for name, stage in read_all_stages(root).items() if stage.k is not None and stage.k not in ks}
    places = (path.relative_to(root).as_posix() for pattern in OUTPUTS for path in sorted(root.glob(pattern)))
    outputs = {place: k for place in places if (k := iteration_of(f"{place}/")) is not None and k not in ks}
    found = sorted({*(int(stage.k or 0) for stage in gone.values()), *outputs.values()})
    recorded = frozenset(out.path for out, _ in all_outputs(gone))
    return Leftovers(max(ks), tuple(found), tuple(gone), tuple(outputs), recorded) if found else None


def is_left_over(root: Path, path: str, left: Leftovers, cache: Path | None) -> bool:
    """Return whether a file is of an earlier chain, and not one that no stage has ever written here."""
    if iteration_of(path) not in left.ks:
        return False
    return lies_in(path, left.recorded) or (cache is not None and _is_cached(root, path, cache))


def check_in_chain(root: Path, k: int) -> None:
    """Raise UserError for an iteration that is no longer in params.yaml."""
    left = find_leftovers(root)
    if left and k in left.ks:
        raise UserError(f"iteration {k} is no part of this chain: {left}")


def _named(ks: tuple[int, ...]) -> str:
    return f"iterations {', '.join(map(str, ks))} are" if len(ks) > 1 else f"iteration {ks[0]} is"


def prune(root: Path, force: bool) -> tuple[Leftovers | None, list[str]]:
    """Remove what is left; return that, and the outputs that stay because a file of theirs is not in DVC's cache.

    With `force` these go, too. Raise UserError while a run is at work here.
    """
    check_no_run(root)
    left = find_leftovers(root)
    if left is None:
        return None, []
    with open_repo(root) as repo, repo.lock:
        cache = Path(repo.cache.local.path)
        kept = [] if force else [path for path in left.outputs if not _is_cached(root, path, cache)]
        for path in set(left.outputs).difference(kept):
            if (root / path).is_dir():
                remove_folder(root / path)
            else:
                (root / path).unlink(missing_ok=True)
        if left.stages:
            _remove_entries(root / LOCK_FILE, left.stages)
    return left, kept


def _is_cached(root: Path, path: str, cache: Path) -> bool:
    digests = [digest_file(root / name) for name in files_below(root, path)]
    return all(digest is not None and cache_path(cache, digest.md5).is_file() for digest in digests)


def _remove_entries(lock: Path, stages: tuple[str, ...]) -> None:
    """Write dvc.lock without these stages, as DVC writes it."""
    from dvc.utils.serialize import dumps_yaml, load_yaml

    content = load_yaml(str(lock))
    for name in stages:
        content["stages"].pop(name, None)
    write_text(lock, dumps_yaml(content))
