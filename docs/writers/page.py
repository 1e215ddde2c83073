"""docs/results.md as text: every number in it comes from the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from docs.writers import forecasts
from docs.writers.claims import CLAIMS, PaperClaim, compare_arms
from docs.writers.figures import CURVES, picture
from docs.writers.tables import DEFAULT, STUDY, table_of
from pipeline.charts.numbers import counted, plus_minus
from pipeline.charts.statistics import pearson
from pipeline.studies.compare.figures import entropy_figure, entropy_points
from pipeline.studies.compare.groups import Setting, columns
from pipeline.studies.sweep import plan

_DOTTED = {"fid": " (dotted: two halves of the real images)"}
PICTURED = {"cfg7.5": "guidance 7.5", "cfg1": "guidance 1.0", "cfg2.5": "guidance 2.5", "redifine": "ReDiFine"}


def page(
    study: Sequence[Setting], default: Sequence[Setting], notes: str, sweep: plan.Sweep, others: Mapping[str, plan.Sweep]
) -> str:
    """Return the page as Markdown; `notes` are words above the numbers, `sweep` is what the study was to run, and `others` are
    the project's sweeps whose numbers are not on the page, by name.
    """
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
        _how_claims_are_judged(),
        *(_claim(claim, study) for claim in CLAIMS),
        "## The study: every arm",
        _what_ran(study, sweep),
        "Collapse rate against FID_1 (Fig. 2, 6), with 95 % intervals, cut off where they leave the figure; small marks: "
        "single seeds; dashed: the Pareto front.",
        "![collapse rate against FID_1](results/trade-off.svg)",
        _table(study),
        _figures(STUDY),
        *_entropy(study),
        forecasts.paragraph(study),
        _elsewhere(others),
    ]
    return "\n\n".join(parts) + "\n"


def _how_claims_are_judged() -> str:
    count = sum(len(claim.checks) for claim in CLAIMS)
    return (
        "A claim counts as shown, or as contrary, only where the 95 % interval of the difference, taken seed by seed, lies on "
        f"one side of 0. There are {count} comparisons and no correction for their number: one in twenty would be shown by "
        'chance. With three seeds an interval is wide; "not resolved" says that these runs cannot tell, not that there is no '
        "difference. What stands in brackets behind a verdict is a guess at why, and no measurement."
    )


def _claim(claim: PaperClaim, study: Sequence[Setting]) -> str:
    findings = "\n".join(f"- {compare_arms(check, study).sentence()}" for check in claim.checks)
    return f"**{claim.text}** ({claim.source}).\n\n{findings}"


def _elsewhere(others: Mapping[str, plan.Sweep]) -> str:
    listed = "\n".join(f"- {name}: {sweep.title}" for name, sweep in others.items())
    return (
        "Prepared (`redifine sweep run sweeps/NAME.yaml`), and not run for this page; some share arms with the study above, "
        f"whose chains are smaller:\n\n{listed}"
    )


def _what_ran(study: Sequence[Setting], sweep: plan.Sweep) -> str:
    """Return the study's own settings, and what its file lists but has not been run."""
    base = ", ".join(f"{key}: {value}" for key, value in sweep.base.items())
    ran = {(setting.name, run.seed) for setting in study for run in setting.runs}
    missing = [_missing(arm, [seed for seed in sweep.seeds if (arm, seed) not in ran]) for arm in plan.arms(sweep)]
    chains = counted(len(ran), "chain").capitalize()
    text = f"The default preset, made smaller so that many chains fit the machine: {base}. {chains}."
    return text + (f"\n\nNot run yet: {', '.join(filter(None, missing))}." if any(missing) else "")


def _missing(arm: str, seeds: Sequence[int]) -> str:
    return f"{arm} (seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))})" if seeds else ""


def _entropy(study: Sequence[Setting]) -> list[str]:
    figure = entropy_figure(study)
    if figure is None:
        return []
    return [
        f"{figure.title} (second paper). {figure.note} {_within_chains(study)}",
        "![entropy and generalisation](results/entropy.svg)",
    ]


def _within_chains(study: Sequence[Setting]) -> str:
    """Return the correlation without what differs between settings: chain by chain."""
    chains = [entropy_points([Setting(setting.name, (run,))]) for setting in study for run in setting.runs]
    found = [r for points in chains if (r := pearson([x for _, _, x, _ in points], [y for _, _, _, y in points])) is not None]
    if not found:
        return ""
    return f"Within single chains r is {median(found):.2f} in the median ({len(found)} chains of 6 to 12 points)."


def _seeds(settings: Sequence[Setting]) -> str:
    return counted(max(len(setting.runs) for setting in settings), "seed")


def _table(settings: Sequence[Setting]) -> str:
    lines = [f"| arm | seeds | K | {' | '.join(columns())} |", "|" + "---|" * (len(columns()) + 3)]
    for setting in settings:
        cells = [
            setting.name,
            str(len(setting.runs)),
            str(setting.last),
            *(plus_minus(value(setting)) for value in columns().values()),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _figures(sweep: Path) -> str:
    return "\n".join(
        f"{name} over k{_DOTTED.get(metric, '')}:\n\n![{name} over k](results/{sweep.stem}-{metric}.svg)\n"
        for metric, name in CURVES.items()
    )


def _pictures(arm: str) -> str:
    head = f"### {PICTURED.get(arm, arm)}\n\nRows are prompts, columns k = 0 (real) to K."
    return f"{head}\n\n![{arm}]({picture(arm).relative_to('docs')})"
