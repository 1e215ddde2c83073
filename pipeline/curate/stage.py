"""Write T_k as a list of image files with their captions and hashes."""

from __future__ import annotations

from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.core.json_files import read_jsonl, write_jsonl
from pipeline.core.randomness import derive_seed
from pipeline.curate.pools import select
from pipeline.curate.records import training_images
from pipeline.methods.policies import accumulate, mix, replace


def run(params: View, k: int, layout: Layout) -> None:
    """Build T_k from D_0..D_{k-1}, T_{k-1} and (select) their features by the policy `training_set`.

    Raises UserError when an input is missing or does not fit the others.
    """
    if params.training_set == "select":
        chosen = select(params, k, layout)
    elif params.training_set == "accumulate":
        chosen = accumulate(read_jsonl(layout.training_set(k - 1)), training_images(layout, k - 1))
    elif params.training_set == "mix" and k > 1:
        latest, real = training_images(layout, k - 1), training_images(layout, 0)
        chosen = mix(latest, real, params.real_fraction, derive_seed("curate", params.seed, k))
    else:
        chosen = replace(training_images(layout, k - 1))
    write_jsonl(layout.training_set(k), chosen)
