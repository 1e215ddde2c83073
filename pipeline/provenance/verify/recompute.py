"""Compute iteration k again in a scratch copy, and compare it with the record."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.chain.image_sets import Images
from pipeline.chain.params import FILE, Params, check, load
from pipeline.chain.paths import Layout
from pipeline.chain.shards import file_of
from pipeline.core.errors import UserError
from pipeline.core.images import decode_image
from pipeline.core.json_files import read_json, read_jsonl
from pipeline.provenance.verify.comparison import Comparer, Comparison, Tolerance, relative_distance, with_features
from pipeline.provenance.verify.scratch import package_root, run_stages, scratch_project
from pipeline.versioning.changed_code import changed_code
from pipeline.versioning.dvc_lock import LOCK_FILE, StageEntry, read_lock
from pipeline.versioning.hashes import files_below
from pipeline.versioning.leftovers import check_in_chain


@dataclass(frozen=True)
class Verification:
    """What was compared, and what a reader must know about it."""

    k: int
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return all(comparison.holds for comparison in self.comparisons)


def verify(root: Path, k: int, prompts: Collection[int], device: str | None, tolerance: Tolerance, runner: str) -> Verification:
    """Compute T_k, M_k and D_k again (for k = 0 what prepare makes), or only the images of `prompts` with the recorded M_k.

    The work tree is only read; `runner` is as for `run_stages`. Raise UserError when the record is not all here, or a stage
    fails.
    """
    check_in_chain(root, k)
    lock = read_lock(root)
    stages = _stages_of(lock, k)
    if lock and not stages:
        raise UserError(f"{LOCK_FILE} records no iteration {k}; 'redifine status' lists those that it has")
    params, notes = recorded_params(root, stages)
    if changed := changed_code(package_root(), stages):
        notes.append(f"the record was made with another version of {', '.join(changed)}")
    _require(root, outputs(k, bool(prompts))[: 1 if prompts else None], k)
    if k:
        _require_images(root, k, prompts or None)
    if k and not prompts and (lost := _missing_set(root, k)):
        notes.append(
            f"{lost} is not here, and M_{k} was finetuned from it: M_{k} is taken as it is, and D_{k} is drawn again; "
            f"'redifine get {lost.rpartition('_')[2]}' fetches what it takes to finetune again"
        )
        prompts = {row["prompt_index"] for row in read_jsonl(Layout(root).manifest(k), ("prompt_index",))}
    made = outputs(k, bool(prompts))
    if prompts:
        _require_model(root, k)
    drawn = _with_their_batches(root, prompts, params) if prompts else prompts
    if len(drawn) > len(prompts):
        notes.append(
            f"the images of {len(drawn)} prompts are drawn, in the record's batches of {params.sample_batch}: "
            "a batch of another size rounds otherwise"
        )
    threads = _recorded_threads(root, k)
    with scratch_project(root, params, made, drawn) as scratch:
        run_stages(runner, scratch, _commands(k, bool(prompts), device), threads)
        compare = Comparer(root, scratch, tolerance)
        if prompts:
            found = compare.images(_images_of(root, k, prompts))
        else:
            found = [comparison for path in _files(root, scratch, made) for comparison in compare.files(path)]
        distances = _feature_distances(root, scratch, found, params)
    return Verification(k, tuple(with_features(found, distances, tolerance)), tuple(notes))


def _recorded_threads(root: Path, k: int) -> int | None:
    """Torch's threads when M_k was trained: with another number a processor rounds sums otherwise. None: not recorded."""
    path = Layout(root).lineage(k)
    made_on = read_json(path, {}).get("made_on") if path.is_file() else None
    found = made_on.get("threads") if isinstance(made_on, dict) else None
    return found if isinstance(found, int) and 0 < found < 10_000 else None


def _with_their_batches(root: Path, prompts: Collection[int], params: Params) -> Collection[int]:
    """`prompts` and those whose images were drawn in the same batches, so that theirs have the same size and places.

    Raise UserError for a prompt that P has not.
    """
    known = [row["index"] for row in read_jsonl(Layout(root).prompts, ("index",))]
    if missing := sorted(set(prompts) - set(known)):
        raise UserError(f"--images names prompt {missing[0]}, and {Layout(root).prompts} has none of that number; name others")
    # Blocks of prompts that fill whole batches.
    block = params.sample_batch // math.gcd(params.sample_batch, params.images_per_prompt)
    blocks = {place // block for place, index in enumerate(known) if index in prompts}
    return [index for place, index in enumerate(known) if place // block in blocks]


def outputs(k: int, images_only: bool) -> tuple[str, ...]:
    """Return what is made again: files and folders, relative to the root."""
    if k == 0:
        return "data/D_0", "data/prompts.jsonl", "data/T_0.jsonl", "models/M_0"
    if images_only:
        return (f"data/D_{k}", f"traces/{k}.safetensors")
    return f"data/T_{k}.jsonl", f"models/M_{k}", f"data/D_{k}", f"traces/{k}.safetensors"


def _commands(k: int, images_only: bool, device: str | None) -> list[list[str]]:
    if k == 0:
        return [["prepare"]]
    where = ["--device", device] if device else []
    sample = ["sample", "--k", str(k), *where]
    return [sample] if images_only else [["curate", "--k", str(k)], ["train", "--k", str(k), *where], sample]


def _require(root: Path, made: Sequence[str], k: int) -> None:
    for path in made:
        if not (root / path).exists():
            raise UserError(
                f"{path} is not here, so there is nothing to compare iteration {k} with; 'redifine get {k}' fetches it"
            )


def _require_images(root: Path, k: int, prompts: Collection[int] | None = None) -> None:
    """The images of D_k (of `prompts` alone, where given) that are to be compared: 'redifine get --images' brings some."""
    layout = Layout(root)
    rows = list(enumerate(read_jsonl(layout.manifest(k), ("file", "prompt_index"))))
    wanted = [(i, row) for i, row in rows if prompts is None or row["prompt_index"] in prompts]
    missing = [i for i, row in wanted if not (layout.images(k) / file_of(row)).is_file()]
    if not missing:
        return
    lost = f"{len(missing)} of the {len(wanted)} images of D_{k} that are to be compared are not here"
    if prompts is None:
        raise UserError(f"{lost}; 'redifine get {k}' fetches them, or name some that are: 'redifine verify {k} --images I,J'")
    raise UserError(f"{lost}; 'redifine get {k} --images {missing[0]}:{missing[-1] + 1}' fetches them")


def _require_model(root: Path, k: int) -> None:
    """What D_k is drawn with: 'redifine get K --images' brings none of it."""
    layout = Layout()
    needed = (layout.model(k), layout.model(0), layout.prompts)
    if missing := [path.as_posix() for path in needed if not (root / path).exists()]:
        names = " ".join(missing)
        raise UserError(f"{', '.join(missing)} is not here, and D_{k} is drawn with it; fetch it with 'dvc pull {names}'")


def _missing_set(root: Path, k: int) -> str | None:
    """Return a set that T_k is made from and that is not here: 'redifine get K' brings none of them."""
    layout = Layout(root)
    rows = read_jsonl(layout.training_set(k), ("k",))
    sets = sorted({k - 1, *(row["k"] for row in rows)})
    return next((f"data/D_{j}" for j in sets if not layout.manifest(j).is_file()), None)


def _files(root: Path, scratch: Path, made: Sequence[str]) -> list[str]:
    """Return all recorded or made files."""
    both = [path for top in made for folder in (root, scratch) if (folder / top).exists() for path in files_below(folder, top)]
    return list(dict.fromkeys(both))


def _images_of(root: Path, k: int, prompts: Collection[int]) -> list[str]:
    """Return paths of the images of D_k of `prompts`."""
    rows = read_jsonl(Layout(root).manifest(k), ("file", "prompt_index"))
    return [f"data/D_{k}/{row['file']}" for row in rows if row["prompt_index"] in prompts]


def _stages_of(stages: Mapping[str, StageEntry], k: int) -> dict[str, StageEntry]:
    """Return the stages of dvc.lock that made iteration k."""
    names = ["prepare"] if k == 0 else [f"{stage}@{k}" for stage in ("curate", "train", "sample")]
    return {name: stages[name] for name in names if name in stages}


def recorded_params(root: Path, stages: Mapping[str, StageEntry]) -> tuple[Params, list[str]]:
    """Return params.yaml, with the values that the stages ran with by dvc.lock's record, and notes on differences."""
    present = load(root / FILE).model_dump()
    recorded = {key: value for stage in stages.values() for key, value in stage.params.items() if key in present}
    notes = [
        f"{FILE} has {key}: {present[key]}, and the record was made with {value}, which is used"
        for key, value in sorted(recorded.items())
        if present[key] != value
    ]
    return check(present | recorded, root / FILE), notes


def _feature_distances(root: Path, scratch: Path, found: Sequence[Comparison], params: Params) -> dict[str, float]:
    """Return {path: relative distance of the features} of the images whose pixels differ; no model is loaded when none do."""
    differing = [comparison.path for comparison in found if comparison.measured.get("max_level")]
    if not differing:
        return {}
    from pipeline.measure.features import load_extractor

    model = root / params.feature_model
    extractor = load_extractor(params.features, str(model) if model.exists() else params.feature_model)
    distances, both = {}, [Images(root), Images(scratch)]
    for path in differing:
        recorded, again = extractor([decode_image(images.read(path), Path(path)) for images in both])
        distances[path] = relative_distance(np.asarray(again), np.asarray(recorded))
    return distances
