"""What becomes of finished batches: their images as files or in shards, and their traces in one file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.chain.shards import shard_name, write_shard
from pipeline.core.errors import UserError
from pipeline.core.files import atomic_file, link_or_copy, sha256_bytes, sha256_file
from pipeline.core.json_files import read_jsonl, write_jsonl
from pipeline.core.tensors import TensorSpec, header_and_order, read_array, tensor_bytes
from pipeline.sample.image_plan import Plan, PlannedImage

TRACE = "trace.safetensors"
"""What the sampler recorded of a batch, beside its images."""

_STACKED = ("diff_norm", "latents")


def pack(plan: Plan) -> None:
    """Put the images of every shard whose batches are all finished into it; their own files go.

    So the images lie on the disk once, and a killed run loses no batch. One process of a plan may do this at a time.
    Raise UserError when the disk is full.
    """
    for number, images in enumerate(plan.sharding.parts(len(plan.images))):
        if not _rows_file(plan, number).is_file() and plan.drawn(images):
            _pack(plan, number, images)


def _pack(plan: Plan, number: int, images: range) -> None:
    def drawn() -> Iterator[tuple[dict[str, Any], bytes]]:
        for i in images:
            png = (plan.folder(i) / plan.images[i].file).read_bytes()
            yield _row(plan.images[i], sha256_bytes(png)), png

    rows = write_shard(_rows_file(plan, number).with_name(shard_name(plan.name, number)), drawn(), plan.lineage.k or 0)
    # The list comes last: where it is, the shard is whole, and the images are needed no more.
    write_jsonl(_rows_file(plan, number), rows)
    for i in images:
        (plan.folder(i) / plan.images[i].file).unlink(missing_ok=True)


def _rows_file(plan: Plan, number: int) -> Path:
    """Return the manifest's rows of a finished shard, which lies beside it."""
    return plan.scratch / "shards" / f"{number:06d}.jsonl"


def _row(image: PlannedImage, sha256: str) -> dict[str, Any]:
    return {**asdict(image), "sha256": sha256}


def collect(plan: Plan, folder: Path) -> list[dict[str, Any]]:
    """Put every finished image, or the shards, into `folder` -> the manifest's rows, in order."""
    pack(plan)
    parts = plan.sharding.parts(len(plan.images))
    rows: list[dict[str, Any]] = []
    for number in range(len(parts)):
        name = shard_name(plan.name, number)
        _place(_rows_file(plan, number).with_name(name), folder / name)
        rows += read_jsonl(_rows_file(plan, number))
    for part, in_batch in [] if parts else plan.parts():
        for image in in_batch:
            _place(part / image.file, folder / image.file)
            rows.append(_row(image, sha256_file(folder / image.file)))
    return rows


def _place(source: Path, target: Path) -> None:
    """Put a finished file at its place. Raise UserError when the disk is full."""
    try:
        link_or_copy(source, target)
    except OSError as error:
        reason = error.strerror
        raise UserError(
            f"cannot write {target.name}: {reason}; finished images are kept, free some space and run again"
        ) from error


def collect_traces(plan: Plan, path: Path) -> None:
    """Write what was recorded, batch after batch: diff_norm [N,T], latents [N,4,h,w], and each step's sigmas [T] and scales
    [T], all float32."""
    files = [part / TRACE for part, _ in plan.parts()]
    count = len(plan.images)
    whole = {
        "sigmas": torch.tensor(plan.settings.noise_levels, dtype=torch.float32),
        "scales": torch.tensor(plan.settings.scales, dtype=torch.float32),
    }
    shapes = {name: TensorSpec(torch.float32, (count, *read_array(files[0], name).shape[1:])) for name in _STACKED}
    start, order = header_and_order(shapes | {name: TensorSpec(tensor.dtype, tensor.shape) for name, tensor in whole.items()})
    with atomic_file(path) as file:
        file.write(start)
        for name in order:
            for part in [tensor_bytes(whole[name])] if name in whole else (_data(file, name) for file in files):
                file.write(part)


def _data(file: Path, name: str) -> memoryview:
    return np.ascontiguousarray(read_array(file, name), dtype=np.float32).reshape(-1).view(np.uint8).data
