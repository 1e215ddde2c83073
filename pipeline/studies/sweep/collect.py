"""The numbers and images of a sweep, read from its experiments."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import write_bytes, write_text
from pipeline.core.images import encode_png
from pipeline.studies.sweep import worktree
from pipeline.studies.sweep.plan import Chain

if TYPE_CHECKING:
    import numpy as np

    from pipeline.versioning.revisions import Revision

OUT = Path("docs/results")

_LAYOUT = Layout()
_PROMPTS = 8
_TILE = 96
_KEYS = ("arm", "seed", "k")


def collect(clone: Path, chains: Iterable[Chain], out: Path) -> list[Chain]:
    """Write the table `out` and an image grid per arm beside it; return the chains that are not run yet.

    Raises UserError when no chain has run, or when an experiment's files are not at hand.
    """
    from pipeline.versioning.revisions import Revision

    rows: list[dict[str, Any]] = []
    drawn_arms: set[str] = set()
    missing = []
    for chain in chains:
        experiment = worktree.find(clone, chain)
        if experiment is None:
            missing.append(chain)
            continue
        source = Revision(chain.name, experiment.commit, clone)
        rows += [_row(chain, k, json.loads(source.read(_LAYOUT.metrics(k)))) for k in range(chain.params.last + 1)]
        if chain.arm not in drawn_arms:
            write_bytes(out.with_name(f"{out.stem}-{chain.arm}.png"), encode_png(image_grid(source, chain.params.last)))
            drawn_arms.add(chain.arm)
    if not rows:
        raise UserError("no chain of this sweep has run yet; run 'redifine sweep run' first")
    write_text(out, table(rows))
    return missing


def _row(chain: Chain, k: int, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return arm, seed, k and every number of metrics/k.json."""
    numbers = {
        name: value for name, value in metrics.items() if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    return {**numbers, "arm": chain.arm, "seed": chain.seed, "k": k}


def table(rows: list[dict[str, Any]]) -> str:
    """Return CSV: arm, seed, k, then every measure by name; six significant digits; arms in the order in which they come."""
    order = {arm: place for place, arm in enumerate(dict.fromkeys(row["arm"] for row in rows))}
    names = sorted({name for row in rows for name in row} - set(_KEYS))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [*_KEYS, *names], lineterminator="\n")
    writer.writeheader()
    for row in sorted(rows, key=lambda row: (order[row["arm"]], row["seed"], row["k"])):
        writer.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()})
    return buffer.getvalue()


def image_grid(source: Revision, last: int) -> np.ndarray:
    """Draw the first prompts as rows over k = 0..K -> [H,W,3] uint8, tiles of at most 96 pixels."""
    import numpy as np

    columns = [np.concatenate(_tiles(source, k), axis=0) for k in range(last + 1)]
    return np.concatenate(columns, axis=1)


def _tiles(source: Revision, k: int) -> list[np.ndarray]:
    """Return the first image of each of the first prompts of D_k."""
    import numpy as np
    from PIL import Image

    lines = source.read(_LAYOUT.manifest(k)).decode().removesuffix("\n").split("\n")
    tiles = []
    for row in [row for row in map(json.loads, lines) if row["image_index"] == 0][:_PROMPTS]:
        with Image.open(io.BytesIO(source.read_image(_LAYOUT.images(k), row))) as image:
            tile = image.convert("RGB")
            side = min(_TILE, tile.width)
            tiles.append(np.asarray(tile.resize((side, side), Image.Resampling.LANCZOS)))
    return tiles
