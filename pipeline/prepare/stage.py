"""Build D_0, P and M_0's record; every later stage starts from these."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.chain.image_sets import write_set
from pipeline.chain.params import View
from pipeline.chain.paths import Layout, image_name
from pipeline.chain.shards import LOOSE, Sharding
from pipeline.core.errors import UserError
from pipeline.core.files import atomic_folder, write_text
from pipeline.core.images import encode_png
from pipeline.core.json_files import write_json, write_jsonl
from pipeline.core.randomness import derive_seed
from pipeline.diffusion.judgement.usable import require_usable
from pipeline.inputs.base_models.identity import base_files, base_hash, origins
from pipeline.inputs.caption_lengths import cut_captions, require_uncut
from pipeline.inputs.creature_drawing import draw
from pipeline.inputs.creatures import ATTRIBUTES, SIZE, Creature, caption, distinct_creatures
from pipeline.inputs.datasets.items import listed
from pipeline.inputs.raw_folder import RawImage, RawSet, read_folder

DEFAULT_CREATURES = 100


def run(params: View, layout: Layout) -> None:
    """Write D_0, the prompts, the empty T_0 and models/M_0/base.json.

    Raise UserError when the model cannot be used, and as `read_raw_set` does.
    """
    require_usable(params.model, params.vae)
    files = base_files(params.model, params.vae)
    log = layout.log("prepare", 0)
    found = read_raw_set(params, log)
    raw = found.images
    cut = cut_captions(params.model, [(image.name, image.caption) for image in raw], params.max_token_length)
    if params.strict and not params.cut_captions:
        require_uncut(cut, params.max_token_length)
    write_real_set(layout, raw, params.seed, params.real_noise, Sharding(params.shard_above, params.shard_size))
    write_jsonl(layout.prompts, ({"index": i, "name": image.name, "prompt": image.caption} for i, image in enumerate(raw)))
    # An empty line, because DVC warns of an empty file at every stage that reads it.
    write_text(layout.training_set(0), "\n")
    with atomic_folder(layout.model(0)) as folder:
        record = {"model": params.model, "vae": params.vae, "files": files, "sha256": base_hash(files)}
        if sources := origins(params.model, params.vae, files):
            record["sources"] = sources
        write_json(folder / layout.base_record().name, record)
    report_problems(found, params.folder, log, cut)


def report_problems(found: RawSet, folder: str | None, log: Path, cut: Sequence[str] = ()) -> None:
    """Print what was left out, on purpose or not, which images are copies and which captions will be cut, shortened.

    All of it is written to `log`.
    """
    for notice in found.notices:
        print(f"{folder}: {notice}", file=sys.stderr)
    if found.left_out:
        print(f"{folder}: {len(found.left_out)} problem(s), left out: {listed(found.left_out)}", file=sys.stderr)
    if found.copies:
        print(f"{folder}: {len(found.copies)} copies, kept: {listed(found.copies)}", file=sys.stderr)
    if cut:
        print(f"{len(cut)} caption(s) are cut off in training and sampling: {listed(cut)}", file=sys.stderr)
    lines = [
        *found.notices,
        *(f"cut: {line}" for line in cut),
        *(f"left out: {line}" for line in found.left_out),
        *(f"kept: {line}" for line in found.copies),
    ]
    if lines:
        write_text(log, "".join(f"{line}\n" for line in lines))
    else:
        log.unlink(missing_ok=True)


def read_raw_set(params: View, log: Path | None = None) -> RawSet:
    """Read the real images and captions: drawn creatures, or the user's folder, whose problems are listed in `log`."""
    if params.dataset == "folder":
        folder = Path(params.folder)
        return read_folder(folder, params.resolution, params.prompts, params.fit, params.prompt_form, params.strict, log)
    if params.resolution != SIZE:
        raise UserError(
            f"dataset creatures is drawn at {SIZE}x{SIZE}; set resolution to {SIZE} in params.yaml, got {params.resolution}"
        )
    creatures = real_creatures(params.seed, params.prompts or DEFAULT_CREATURES, params.creature_styles)
    return RawSet(
        [RawImage(f"creature_{i:05d}", partial(draw, c), caption(c, params.prompt_form)) for i, c in enumerate(creatures)]
    )


def real_creatures(seed: int, count: int, styles: Sequence[str]) -> list[Creature]:
    """Draw `count` different creatures; several styles, taken in turn, make a union of data sets (appendix E.3)."""
    known = ATTRIBUTES["style"]
    for style in styles:
        if style not in known:
            raise UserError(f"creature_styles (params.yaml) knows {', '.join(known)}, got {style!r}")
    shares = [len(range(first, count, len(styles))) for first in range(len(styles))]
    first = derive_seed("D_0", seed)
    sets = [distinct_creatures((first + i) % 2**32, shares[i], style=style) for i, style in enumerate(styles)]
    return [sets[i % len(styles)][i // len(styles)] for i in range(count)]


def write_real_set(layout: Layout, raw: list[RawImage], seed: int, noise: float, sharding: Sharding = LOOSE) -> None:
    """Write D_0: PNGs, with Gaussian noise of standard deviation `noise` (of 0..1) when asked, and the manifest."""

    def png(i: int) -> bytes:
        return encode_png(add_noise(raw[i].pixels, noise, derive_seed("noise", seed, i)))

    rows = [
        {"file": image_name(i), "prompt_index": i, "image_index": 0, "prompt": image.caption, "seed": None}
        for i, image in enumerate(raw)
    ]
    with atomic_folder(layout.images(0)) as folder:
        write_set(folder, 0, rows, png, sharding)


def add_noise(pixels: np.ndarray, noise: float, seed: int) -> np.ndarray:
    """Return [H,W,3] uint8 plus Gaussian noise (appendix C.10), clipped to 0..255; unchanged for noise 0."""
    if noise == 0.0:
        return pixels
    grain = np.random.default_rng(seed).normal(0.0, 255.0 * noise, pixels.shape)
    return np.clip(np.rint(pixels + grain), 0, 255).astype(np.uint8)
