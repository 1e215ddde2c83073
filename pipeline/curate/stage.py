"""Write T_k as a list of image files with their captions and hashes."""

from __future__ import annotations

from pipeline.curate.policies import Record, accumulate, mix, replace
from pipeline.params import View
from pipeline.paths import Layout
from pipeline.randomness import derive_seed
from pipeline.storage import read_jsonl, write_jsonl


def run(params: View, k: int, layout: Layout) -> None:
    """Build T_k from D_0, D_{k-1} and T_{k-1} by the policy `training_set`."""
    latest = records(layout, k - 1)
    if params.training_set == "accumulate":
        chosen = accumulate(read_jsonl(layout.training_set(k - 1)), latest)
    elif params.training_set == "mix" and k > 1:
        chosen = mix(latest, records(layout, 0), params.real_fraction, derive_seed("curate", params.seed, k))
    else:
        chosen = replace(latest)
    write_jsonl(layout.training_set(k), chosen)


def records(layout: Layout, k: int) -> list[Record]:
    """The images of D_k as training records; paths are relative to the project's root."""
    folder = layout.images(k).relative_to(layout.root)
    return [
        {
            "path": (folder / row["file"]).as_posix(),
            "prompt_index": row["prompt_index"],
            "image_index": row["image_index"],
            "caption": row["prompt"],
            "k": k,
            "sha256": row["sha256"],
        }
        for row in read_jsonl(layout.manifest(k), ("file", "prompt_index", "image_index", "prompt", "sha256"))
    ]
