"""Write docs/results.md and its figures from the tables that `redifine sweep collect` has made (`make results`)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from docs.claims import CLAIMS, Claim, judge
from pipeline.compare.colours import standalone
from pipeline.compare.figures import curves, entropy_figure, told, trade_off
from pipeline.compare.groups import COLUMNS, Setting, settings_of
from pipeline.compare.runs import Row, runs_from_rows
from pipeline.report.words import counted
from pipeline.storage import encode_png, load_image, read_text, write_bytes, write_text
from pipeline.sweep import plan

PAGE = Path("docs/results.md")
FOLDER = Path("docs/results")
NOTES = Path("docs/results_notes.md")
STUDY, DEFAULT = Path("sweeps/results.yaml"), Path("sweeps/default.yaml")
MAIN_ARMS = ("cfg1", "cfg2.5", "cfg7.5", "redifine")
PICTURED = {"cfg7.5": "guidance 7.5", "cfg1": "guidance 1.0", "cfg2.5": "guidance 2.5", "redifine": "ReDiFine"}
CURVES = {"fid": "FID", "recall": "recall", "power_ratio": "high-frequency power, S_k / S_0",
          "generalisation_score": "generalisation score"}  # fmt: skip
FIRST_SCREEN_ROWS = 3


def main() -> None:
    """Both tables -> figures and page. The same tables give the same bytes."""
    study, default = read_settings(table_of(STUDY)), read_settings(table_of(DEFAULT))
    write_bytes(Path("docs/first-screen.png"), encode_png(first_screen()))
    draw(study, default)
    write_text(PAGE, page(study, default, read_text(NOTES)))


def table_of(sweep: Path) -> Path:
    return FOLDER / f"{sweep.stem}.csv"


def read_settings(table: Path) -> list[Setting]:
    """A collected table -> one setting per arm, its seeds together."""
    rows = []
    for line in csv.DictReader(read_text(table).splitlines()):
        numbers = {name: float(value) for name, value in line.items() if name not in ("arm", "seed", "k") and value}
        rows.append(Row(line["arm"], int(line["seed"]), int(line["k"]), numbers))
    return settings_of(runs_from_rows(rows))


def draw(study: Sequence[Setting], default: Sequence[Setting]) -> None:
    """The figures that the page shows, each a file of its own."""
    write_text(FOLDER / "trade-off.svg", standalone(trade_off(study), len(study)))
    main_arms = [setting for setting in study if setting.name in MAIN_ARMS]
    for sweep, settings in ((STUDY, main_arms), (DEFAULT, default)):
        for metric in CURVES:
            write_text(FOLDER / f"{sweep.stem}-{metric}.svg", standalone(curves(settings, metric), len(settings)))
    if figure := entropy_figure(study):
        write_text(FOLDER / "entropy.svg", standalone(figure.svg, len(study)))


def first_screen() -> np.ndarray:
    """The README's picture: some prompts at guidance 7.5 above the same under ReDiFine -> [H,W,3] uint8."""
    grids = [load_image(picture(arm)) for arm in ("cfg7.5", "redifine")]
    halves = [grid[: grid.shape[0] * FIRST_SCREEN_ROWS // 8] for grid in grids]
    gap = np.full((10, halves[0].shape[1], 3), 255, np.uint8)
    whole = Image.fromarray(np.concatenate([halves[0], gap, halves[1]], axis=0))
    return np.asarray(whole.resize((2 * whole.width, 2 * whole.height), Image.Resampling.LANCZOS))


def picture(arm: str) -> Path:
    return FOLDER / f"{DEFAULT.stem}-{arm}.png"


def page(study: Sequence[Setting], default: Sequence[Setting], notes: str) -> str:
    """The whole page as Markdown; every number in it comes from the tables."""
    parts = [
        "# Results on the miniature",
        f"Made by `make results`, which runs the chains of {STUDY} and {DEFAULT} and collects their numbers. "
        f"Numbers: [{table_of(STUDY).name}]({table_of(STUDY).relative_to('docs')}), "
        f"[{table_of(DEFAULT).name}]({table_of(DEFAULT).relative_to('docs')}). Values are means over seeds with 95 % intervals "
        "(Student's t); a value without an interval is one seed.",
        notes.strip(),
        "## The default preset",
        f"{counted(len(default), 'setting').capitalize()}, {_seeds(default)}: what `make repro` runs, with trainer: builtin.",
        _table(default),
        _figures(DEFAULT),
        *(_pictures(setting.name) for setting in default),
        "## The papers' claims",
        *(_claim(claim, study) for claim in CLAIMS),
        "## The study: every arm",
        _what_ran(study),
        "Collapse rate against FID_1 (Fig. 2, 6); dashed: the Pareto front.",
        "![collapse rate against FID_1](results/trade-off.svg)",
        _table(study),
        _figures(STUDY),
        *_entropy(study),
    ]
    return "\n\n".join(parts) + "\n"


def _claim(claim: Claim, study: Sequence[Setting]) -> str:
    findings = "\n".join(f"- {judge(check, study).sentence()}" for check in claim.checks)
    return f"**{claim.text}** ({claim.source}).\n\n{findings}"


def _what_ran(study: Sequence[Setting]) -> str:
    """The study's own settings, and what its file lists but has not been run."""
    sweep = plan.load(STUDY)
    base = ", ".join(f"{key}: {value}" for key, value in sweep.base.items())
    ran = {(setting.name, run.seed) for setting in study for run in setting.runs}
    missing = [f"{arm} (seed {seed})" for arm in plan.arms(sweep) for seed in sweep.seeds if (arm, seed) not in ran]
    chains = counted(len(ran), "chain").capitalize()
    text = f"The default preset, made smaller so that many chains fit the machine: {base}. {chains}."
    return text + (f"\n\nNot run yet: {', '.join(missing)}." if missing else "")


def _entropy(study: Sequence[Setting]) -> list[str]:
    figure = entropy_figure(study)
    if figure is None:
        return []
    return [f"{figure.title} (second paper). {figure.note}", "![entropy and generalisation](results/entropy.svg)"]


def _seeds(settings: Sequence[Setting]) -> str:
    return counted(max(len(setting.runs) for setting in settings), "seed")


def _table(settings: Sequence[Setting]) -> str:
    lines = [f"| arm | seeds | K | {' | '.join(COLUMNS)} |", "|" + "---|" * (len(COLUMNS) + 3)]
    for setting in settings:
        cells = [setting.name, str(len(setting.runs)), str(setting.last), *(told(value(setting)) for value in COLUMNS.values())]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _figures(sweep: Path) -> str:
    return "\n".join(
        f"{name} over k:\n\n![{name} over k](results/{sweep.stem}-{metric}.svg)\n" for metric, name in CURVES.items()
    )


def _pictures(arm: str) -> str:
    return (
        f"### {PICTURED[arm]}\n\nRows are prompts, columns k = 0 (real) to K.\n\n![{arm}]({picture(arm).relative_to('docs')})"
    )


if __name__ == "__main__":
    main()
