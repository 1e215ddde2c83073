"""What `redifine share` and `redifine get` do, one step after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.chain import params as parameters
from pipeline.chain.image_sets import read_manifest
from pipeline.chain.paths import Layout
from pipeline.chain.shards import file_of
from pipeline.core.errors import UserError
from pipeline.provenance.share import transfer
from pipeline.provenance.share.applying import take_results
from pipeline.provenance.share.iterations import ChainRecord, outputs_to_fetch, outputs_to_share, read_record, read_record_at
from pipeline.versioning import experiments
from pipeline.versioning.dvc_lock import LOCK_FILE
from pipeline.versioning.git import git
from pipeline.versioning.not_fetched import mark_partial, unmark_partial
from pipeline.versioning.submodules import keep_submodules


def share(
    root: Path, iterations: Sequence[int], experiment: str | None, force: bool, remote: str | None, git_remote: str
) -> tuple[int, list[str]]:
    """Send iterations (all, when none is named) and what they were made from; the experiment's commit goes last.

    Returns the number of files sent and what is left to do. Raise UserError, see `transfer` and `experiments`.
    """
    if experiment is None:
        record = read_record(root)
        sent = transfer.push(root, _outputs(record, iterations), remote)
        return sent, _what_git_lacks(root)
    experiments.check_name(experiment)
    keep_submodules(root, experiment)
    found = experiments.local_experiment(root, experiment)
    chain = _record_of(root, found.commit, experiment)
    sent = transfer.push(root, _outputs(chain, iterations), remote)
    experiments.push_experiment(root, found, git_remote, force)
    return sent, [f"others get it with 'redifine get --exp {experiment}'"]


def get(
    root: Path, k: int | None, experiment: str | None, force: bool, remote: str | None, git_remote: str
) -> tuple[int, list[str]]:
    """Fetch iteration k, or all when k is None; an experiment's params.yaml, dvc.lock and summary come here first.

    Returns the number of files fetched and how to go on. Raise UserError, see `transfer` and `experiments`.
    """
    wanted = [] if k is None else [k]
    notices: list[str] = []
    if experiment is not None:
        experiments.check_name(experiment)
        found = experiments.fetch_experiment(root, experiment, git_remote, force)
        _record_of(root, found.commit, experiment).check_iterations(wanted)
        notices = take_results(root, experiment, found, force)
    record = read_record(root)
    record.check_iterations(wanted)
    targets = record.have(outputs_to_fetch(k)) if k is not None else []
    arriving = {record.outputs[path].md5: path for path in targets or record.outputs}
    fetched = transfer.pull(root, targets, remote, force, arriving)
    for j in record.iterations if k is None else wanted:
        unmark_partial(root, Layout().images(j))
    return fetched, notices + ([] if k is None else _how_to_go_on(root, record, k))


def get_images(root: Path, k: int, images: slice, force: bool, remote: str | None) -> tuple[int, list[str]]:
    """Fetch D_k's manifest and those files or shards alone that hold `images`, counted in the manifest's order.

    Returns the number of files fetched and what is not here. Raise UserError when there is no such image, see `transfer`.
    """
    record = read_record(root)
    record.check_iterations([k])
    folder = Layout().images(k)
    mark_partial(root, folder)
    fetched = transfer.pull(root, [Layout().manifest(k).as_posix()], remote, force)
    rows = read_manifest(Layout(root), k)
    if not (chosen := rows[images]):
        raise UserError(f"--images names no image of D_{k}, which has 0 to {len(rows) - 1}; give A:B within 0:{len(rows)}")
    files = list(dict.fromkeys((folder / file_of(row)).as_posix() for row in chosen))
    fetched += transfer.pull(root, files, remote, force)
    here = sum((root / folder / file_of(row)).is_file() for row in rows)
    if here == len(rows):
        unmark_partial(root, folder)
    return fetched, [f"here are {here} of the {len(rows)} images of D_{k}; 'redifine get {k}' fetches the others"]


def _record_of(root: Path, commit: str, experiment: str) -> ChainRecord:
    record = read_record_at(root, commit, f"the experiment {experiment}")
    if record is None:
        raise UserError(f"the experiment {experiment!r} has no {LOCK_FILE}, so it records no iteration; run it again")
    return record


def _outputs(record: ChainRecord, iterations: Sequence[int]) -> dict[str, str]:
    """Return {DVC hash: path} of the iterations and of what they were made from; of everything when none is named."""
    if not record.outputs:
        raise UserError(f"there is nothing to share: {record.name} records no output; run 'dvc repro' first")
    record.check_iterations(iterations)
    paths = record.have(path for k in iterations for path in outputs_to_share(k)) if iterations else record.outputs
    return {record.outputs[path].md5: path for path in paths}


def _what_git_lacks(root: Path) -> list[str]:
    """Return what must still go through Git before others can name the iterations that were sent."""
    if git(root, "status", "--porcelain", "--", LOCK_FILE, "params.yaml"):
        return ["dvc.lock or params.yaml is not committed: others see the iterations after 'git commit' and 'git push'"]
    if git(root, "remote") and not git(root, "branch", "--remotes", "--contains", "HEAD"):
        return ["the last commit is only here: others see the iterations after 'git push'"]
    return []


def _how_to_go_on(root: Path, record: ChainRecord, k: int) -> list[str]:
    """Return the command that continues the chain from what is here: DVC fetches the little that the next iteration reads."""
    after = max([k, *record.iterations]) + 1
    add = "" if after <= _last_of_params(root) else f"add iteration {after} to params.yaml and "
    return [
        f"to go on from here, {add}run: redifine repro --pull --allow-missing measure analyse",
        "the report needs every D_j: 'dvc pull' fetches them",
    ]


def _last_of_params(root: Path) -> int:
    """Return the last iteration that params.yaml asks for; 0 where it cannot be read, which the next run tells."""
    try:
        return parameters.load(root / parameters.FILE).last
    except UserError:
        return 0
