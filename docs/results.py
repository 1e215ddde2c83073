"""Collect finished chains into docs/results/ and write docs/results.md from them; `make results` runs it for four arms."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from pipeline.paths import Layout
from pipeline.storage import encode_png, load_image, read_json, read_jsonl, write_bytes, write_text

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "redifine"

FOLDER = Path("docs/results")
ARMS = {
    "baseline": "cfg 7.5, constant",
    "cfg1": "cfg 1.0, constant",
    "cfg2.5": "cfg 2.5, constant",
    "redifine": "ReDiFine",
}
COLOURS = {"baseline": "#c1121f", "cfg1": "#6c757d", "cfg2.5": "#1d70b8", "redifine": "#2a9d5c"}
COLUMNS = ("fid", "fid_floor", "precision", "recall", "clip_score", "sfd", "power_ratio", "saturation")
GRID_PROMPTS = 10


def collect(arm: str, layout: Layout, last: int) -> None:
    """Add one finished chain to metrics.csv, and its picture grid beside it."""
    rows = [row for row in read_rows() if row["arm"] != arm]
    for k in range(1, last + 1):
        metrics = read_json(layout.metrics(k))
        rows.append({"arm": arm, "k": str(k)} | {name: f"{metrics[name]:.6g}" for name in COLUMNS})
    real = read_json(layout.metrics(0))
    rows.append({"arm": arm, "k": "0"} | {name: f"{real[name]:.6g}" for name in ("clip_score", "saturation")})
    rows.sort(key=lambda row: (list(ARMS).index(row["arm"]), int(row["k"])))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, ["arm", "k", *COLUMNS], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(FOLDER / "metrics.csv", buffer.getvalue())
    write_bytes(FOLDER / f"grid_{arm}.png", encode_png(picture_grid(layout, last)))


def read_rows() -> list[dict[str, str]]:
    path = FOLDER / "metrics.csv"
    return list(csv.DictReader(path.read_text().splitlines())) if path.is_file() else []


def picture_grid(layout: Layout, last: int) -> np.ndarray:
    """Rows are prompts, columns are k = 0..K -> [H,W,3] uint8."""
    rows = read_jsonl(layout.manifest(0))[:GRID_PROMPTS]
    lines = [np.concatenate([load_image(layout.images(k) / row["file"]) for k in range(last + 1)], axis=1) for row in rows]
    picture = Image.fromarray(np.concatenate(lines, axis=0))
    return np.asarray(picture.resize((picture.width * 3 // 2, picture.height * 3 // 2), Image.Resampling.LANCZOS))


def plot(rows: list[dict[str, str]], column: str, label: str, path: Path) -> None:
    """One measure over k for every arm, as SVG."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.2, 3.2), constrained_layout=True)
    for arm, name in ARMS.items():
        points = [(int(row["k"]), float(row[column])) for row in rows if row["arm"] == arm and row["k"] != "0" and row[column]]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", color=COLOURS[arm], label=name)
    if column == "fid":
        floor = [float(row["fid_floor"]) for row in rows if row["fid_floor"]]
        axes.axhline(floor[0], color="#999", linestyle=":", label="real against real")
    axes.set(xlabel="iteration k", ylabel=label)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def first_screen(prompts: int = 3) -> np.ndarray:
    """The README's picture: the first prompts of the baseline above those of ReDiFine -> [H,W,3] uint8."""
    halves = [load_image(FOLDER / f"grid_{arm}.png")[: 96 * prompts] for arm in ("baseline", "redifine")]
    gap = np.full((14, halves[0].shape[1], 3), 255, np.uint8)
    return np.concatenate([halves[0], gap, halves[1]], axis=0)


def page(notes: Path) -> None:
    """Write docs/results.md: the figures, the table, and the words in `notes`."""
    rows = read_rows()
    write_bytes(Path("docs/first-screen.png"), encode_png(first_screen()))
    labels = {"fid": "FID_k against D_0", "power_ratio": "high-frequency power, S_k / S_0", "recall": "recall"}
    for column, label in labels.items():
        plot(rows, column, label, FOLDER / f"{column}.svg")
    parts = [notes.read_text(), "## FID over the iterations\n\n![FID over k](results/fid.svg)\n\n" + table(rows)]
    parts.append("## High-frequency power and recall\n\n![power](results/power_ratio.svg)\n![recall](results/recall.svg)\n")
    for arm, name in ARMS.items():
        parts.append(f"## {name}\n\nRows are prompts, columns k = 0 (real) to K.\n\n![{name}](results/grid_{arm}.png)\n")
    write_text(Path("docs/results.md"), "\n".join(parts))


def table(rows: list[dict[str, str]]) -> str:
    """First and last iteration of every arm, and the collapse rate (eq. 3), as Markdown."""
    head = "| arm | FID_1 | FID_K | collapse rate | recall_K | CLIP score_K | SFD_K | S_K / S_0 | saturation_0 | saturation_K |"
    lines = [head, "|" + "---|" * 10]
    for arm, name in ARMS.items():
        mine = {int(row["k"]): row for row in rows if row["arm"] == arm}
        if len(mine) < 3:
            continue
        last = max(mine)
        first_fid, last_fid = float(mine[1]["fid"]), float(mine[last]["fid"])
        end = mine[last]
        lines.append(
            f"| {name} | {first_fid:.1f} | {last_fid:.1f} | {(last_fid - first_fid) / (last - 1):.2f} "
            f"| {float(end['recall']):.2f} "
            f"| {float(end['clip_score']):.1f} | {float(end['sfd']):.2f} | {float(end['power_ratio']):.2f} "
            f"| {float(mine[0]['saturation']):.3f} | {float(end['saturation']):.3f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1:2] == ["collect"]:
        name, root = sys.argv[2], Path(sys.argv[3] if len(sys.argv) > 3 else ".")
        collect(name, Layout(root), len(read_json(root / "plots/metrics.json")))
    else:
        page(Path("docs/results_notes.md"))
