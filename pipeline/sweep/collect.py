"""How far a sweep is, and its numbers and pictures, read from the saved experiments."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.paths import Layout
from pipeline.storage import encode_png, read_json, write_bytes, write_text
from pipeline.sweep import worktree
from pipeline.sweep.local import note_file
from pipeline.sweep.plan import Chain

if TYPE_CHECKING:
    import numpy as np

    from pipeline.compare.revisions import Source

OUT = Path("docs/results")

_LAYOUT = Layout()
_PROMPTS = 8
_TILE = 96
_KEYS = ("arm", "seed", "k")


@dataclass(frozen=True)
class Standing:
    """A chain's state (done, running, failed, stopped, waiting) and FID at the first and the last k that was measured."""

    name: str
    arm: str
    seed: int
    state: str
    k: int | None = None
    iterations: int | None = None
    fid_1: float | None = None
    fid_k: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def standing(clone: Path, chain: Chain) -> Standing:
    """Where a chain is, from its experiment, or from the worktree of the worker that runs it."""
    last = chain.params.last
    experiment = worktree.find(clone, chain)
    if experiment is not None:
        summary = json.loads(worktree.git(clone, "show", f"{experiment.commit}:{_LAYOUT.summary}"))
        return Standing(chain.name, chain.arm, chain.seed, "done", last, last, summary.get("FID_1"), summary.get("FID"))
    note = note_file(chain)
    state, folder = _noted(read_json(clone / note)) if (clone / note).is_file() else ("waiting", Path())
    if state != "running":
        return Standing(chain.name, chain.arm, chain.seed, state, iterations=last)
    fid = _measured(Layout(folder), last)
    reached = max(fid, default=0)
    return Standing(chain.name, chain.arm, chain.seed, state, reached, last, fid.get(1), fid.get(reached))


def _noted(note: dict[str, Any]) -> tuple[str, Path]:
    """State and worktree of a chain without an experiment, from what its sweep noted."""
    if note["state"] == "done":  # with other parameters than now
        return "waiting", Path()
    ended = note["state"] == "running" and not _alive(int(note["pid"]))
    return "stopped" if ended else str(note["state"]), Path(note["worktree"])


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _measured(layout: Layout, last: int) -> dict[int, float]:
    """k -> FID_k, as far as a running chain has come."""
    return {k: read_json(layout.metrics(k))["fid"] for k in range(1, last + 1) if layout.metrics(k).is_file()}


def collect(clone: Path, chains: Iterable[Chain], out: Path) -> list[Chain]:
    """Write the table `out` and a picture grid per arm beside it; returns the chains that are not run yet.

    Raises UserError when no chain has run, or when an experiment's files are not at hand.
    """
    from pipeline.compare.revisions import Revision

    rows: list[dict[str, Any]] = []
    pictured: set[str] = set()
    missing = []
    for chain in chains:
        experiment = worktree.find(clone, chain)
        if experiment is None:
            missing.append(chain)
            continue
        source = Revision(chain.name, experiment.commit, clone)
        rows += [_row(chain, k, json.loads(source.read(_LAYOUT.metrics(k)))) for k in range(chain.params.last + 1)]
        if chain.arm not in pictured:
            write_bytes(out.with_name(f"{out.stem}-{chain.arm}.png"), encode_png(picture_grid(source, chain.params.last)))
            pictured.add(chain.arm)
    if not rows:
        raise UserError("no chain of this sweep has run yet; run 'redifine sweep run' first")
    write_text(out, table(rows))
    return missing


def _row(chain: Chain, k: int, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Arm, seed, k and every number of metrics/k.json."""
    numbers = {
        name: value for name, value in metrics.items() if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    return {**numbers, "arm": chain.arm, "seed": chain.seed, "k": k}


def table(rows: list[dict[str, Any]]) -> str:
    """CSV: arm, seed, k, then every measure by name; six significant digits; arms in the order in which they come."""
    order = {arm: place for place, arm in enumerate(dict.fromkeys(row["arm"] for row in rows))}
    names = sorted({name for row in rows for name in row} - set(_KEYS))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [*_KEYS, *names], lineterminator="\n")
    writer.writeheader()
    for row in sorted(rows, key=lambda row: (order[row["arm"]], row["seed"], row["k"])):
        writer.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()})
    return buffer.getvalue()


def picture_grid(source: Source, last: int) -> np.ndarray:
    """Rows are the first prompts, columns are k = 0..K -> [H,W,3] uint8, tiles of at most 96 pixels."""
    import numpy as np

    columns = [np.concatenate(_tiles(source, k), axis=0) for k in range(last + 1)]
    return np.concatenate(columns, axis=1)


def _tiles(source: Source, k: int) -> list[np.ndarray]:
    """The first image of each of the first prompts of D_k."""
    import numpy as np
    from PIL import Image

    lines = source.read(_LAYOUT.manifest(k)).decode().removesuffix("\n").split("\n")
    tiles = []
    for row in [row for row in map(json.loads, lines) if row["image_index"] == 0][:_PROMPTS]:
        with Image.open(io.BytesIO(source.read(_LAYOUT.images(k) / row["file"]))) as image:
            tile = image.convert("RGB")
            side = min(_TILE, tile.width)
            tiles.append(np.asarray(tile.resize((side, side), Image.Resampling.LANCZOS)))
    return tiles
