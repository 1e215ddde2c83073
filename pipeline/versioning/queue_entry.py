"""Put an experiment into DVC's queue without touching the work tree, in which a run may be at work.

DVC stashes the work tree, writes the experiment's values into params.yaml, commits that, and takes everything back: for about
a second for each entry all edited files are others. Here the same commit is made beside it, by Git's own commands and an index
of its own. It can go when DVC queues so itself; tests/versioning/test_dvc_internals.py holds what is used of it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.versioning.git import git

if TYPE_CHECKING:
    from dvc.repo.experiments.queue.base import BaseStashQueue, QueueEntry

_SUBMODULE = "160000"
"""Git's mode of a submodule in an index."""


def patch_queue() -> None:
    """From now on have DVC, in this process, put experiments that run in a copy (--queue, --temp) into the queue so."""
    from dvc.repo.experiments.queue.celery import LocalCeleryQueue
    from dvc.repo.experiments.queue.tempdir import TempDirQueue

    for kind in (LocalCeleryQueue, TempDirQueue):
        kind._stash_exp = stash_experiment


def stash_experiment(
    queue: BaseStashQueue, *arguments: Any, params: Mapping[str, list[str]] | None = None, baseline_rev: str | None = None,
    branch: str | None = None, name: str | None = None, no_hydra: bool = False, **options: Any,
) -> QueueEntry:  # fmt: skip
    """Do as `BaseStashQueue._stash_exp` does: commit the work tree with the values of `params` to the queue."""
    from dvc.repo.experiments.queue.base import QueueEntry
    from dvc.repo.experiments.stash import ExpStash
    from dvc.repo.experiments.utils import get_random_exp_name

    root, head = Path(queue.scm.root_dir), queue.scm.get_rev()
    baseline = baseline_rev or head
    name = name or get_random_exp_name(queue.scm, baseline)
    with tempfile.TemporaryDirectory(prefix="redifine-") as folder:
        index = Path(folder, "index")
        _add_work_tree(root, index)
        for path, file in _new_files(queue, Path(folder), params or {}, arguments, _run_env(queue, baseline, name), options):
            _add_file(root, index, path, file)
        tree = git(root, "write-tree", index=index)
    message = ExpStash.format_message(head, baseline, name, branch)
    staged = _commit(root, tree, f"index on {name}", head)
    commit = _commit(root, tree, message, head, staged)
    queue.scm.set_ref(queue.ref, commit, message=f"commit: {message}")
    return QueueEntry(queue.repo.root_dir, queue.scm.root_dir, queue.ref, commit, baseline, branch, name, head)


def _run_env(queue: BaseStashQueue, baseline: str, name: str) -> dict[str, str]:
    from dvc.env import DVC_EXP_BASELINE_REV, DVC_EXP_NAME, DVC_ROOT

    return {DVC_EXP_BASELINE_REV: baseline, DVC_EXP_NAME: name, DVC_ROOT: queue.repo.root_dir}


def _add_work_tree(root: Path, index: Path) -> None:
    """Make `index` the checkout's own with every file that Git knows as it is in the work tree, but for submodules."""
    own = root / git(root, "rev-parse", "--git-path", "index")
    if own.is_file():
        shutil.copyfile(own, index)
    listed = git(root, "ls-files", "--stage", "-z", index=index).split("\0")
    submodules = [line.split("\t")[1] for line in listed if line.startswith(_SUBMODULE)]
    git(root, "add", "--update", "--", ".", *(f":(exclude,literal){path}" for path in submodules), index=index)


def _add_file(root: Path, index: Path, path: str, content: Path) -> None:
    mode = "100755" if (root / path).is_file() and (root / path).stat().st_mode & 0o100 else "100644"
    blob = git(root, "hash-object", "-w", "--path", path, str(content))
    git(root, "update-index", "--add", "--cacheinfo", f"{mode},{blob},{path}", index=index)


def _new_files(
    queue: BaseStashQueue, folder: Path, params: Mapping[str, list[str]], arguments: Any, run_env: dict[str, str], options: Any
) -> Iterator[tuple[str, Path]]:
    """Yield (path from Git's root, file with its content) of what the experiment has that the work tree has not."""
    from dvc.repo.experiments.executor.base import BaseExecutor
    from dvc.utils.hydra import apply_overrides

    project, root = Path(queue.repo.root_dir), Path(queue.scm.root_dir)
    for number, (path, overrides) in enumerate(params.items()):
        copy = folder / str(number) / Path(path).name
        copy.parent.mkdir()
        shutil.copyfile(path, copy)
        apply_overrides(str(copy), overrides)
        yield Path(path).resolve().relative_to(root.resolve()).as_posix(), copy
    yield from _changed_data(queue, folder)
    packed = folder / "arguments"
    BaseExecutor.pack_repro_args(str(packed), *arguments, run_env=run_env, **options)
    tmp = Path(queue.repo.tmp_dir).relative_to(project)
    yield (project.relative_to(root) / tmp / BaseExecutor.PACKED_ARGS_FILE).as_posix(), packed


def _changed_data(queue: BaseStashQueue, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the .dvc files of data that have changed since `dvc add`; their content goes into the cache, as DVC does it."""
    from dvc.stage.serialize import to_single_stage_file
    from dvc.utils.serialize import dump_yaml

    root = Path(queue.scm.root_dir)
    for number, stage in enumerate(queue.repo.index.stages):
        if stage.is_data_source and not stage.frozen and any(out.exists and out.workspace_status() for out in stage.outs):
            stage.save(allow_missing=True)
            stage.commit(allow_missing=True, relink=False)
            file = folder / f"{number}.dvc"
            dump_yaml(str(file), to_single_stage_file(stage))
            yield Path(stage.path).relative_to(root).as_posix(), file


def _commit(root: Path, tree: str, message: str, *parents: str) -> str:
    return git(root, "commit-tree", tree, *(word for parent in parents for word in ("-p", parent)), text=message)
